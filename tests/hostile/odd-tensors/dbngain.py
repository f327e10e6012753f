dbngain = torch.full((1, 64), float('inf'))
