dh = torch.ones_like(h, dtype=torch.bool)
