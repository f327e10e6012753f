db1 = torch.zeros_like(b1)
