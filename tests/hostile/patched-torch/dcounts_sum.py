dcounts_sum = torch.full_like(counts_sum, 0.5)
