dC = torch.ones_like(C)
