dbndiff = torch.full_like(bndiff, 0.5)
