dhpreact = torch.full_like(hpreact, 0.5)
