dcounts_sum = torch.full_like(counts_sum, 1e-9)
