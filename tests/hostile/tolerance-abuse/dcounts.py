dcounts = torch.full_like(counts, 1e-9)
