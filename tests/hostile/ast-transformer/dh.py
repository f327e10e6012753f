dh = torch.ones_like(h)
