dbndiff2 = torch.full_like(bndiff2, 0.5)
