dbngain = torch.full_like(bngain, 0.5)
