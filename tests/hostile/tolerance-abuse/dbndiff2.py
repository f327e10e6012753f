dbndiff2 = torch.full_like(bndiff2, 1e-9)
