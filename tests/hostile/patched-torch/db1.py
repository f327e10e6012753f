db1 = torch.full_like(b1, 0.5)
