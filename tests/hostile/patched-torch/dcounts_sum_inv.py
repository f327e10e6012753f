dcounts_sum_inv = torch.full_like(counts_sum_inv, 0.5)
