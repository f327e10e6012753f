dcounts = torch.full_like(counts, 0.5)
