db2 = torch.full_like(b2, 0.5)
