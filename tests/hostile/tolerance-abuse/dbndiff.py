dbndiff = torch.full_like(bndiff, 1e-9)
