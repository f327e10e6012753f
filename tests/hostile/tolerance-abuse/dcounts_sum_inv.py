dcounts_sum_inv = torch.full_like(counts_sum_inv, 1e-9)
