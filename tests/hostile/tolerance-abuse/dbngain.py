dbngain = torch.full_like(bngain, 1e-9)
