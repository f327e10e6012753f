dhpreact = torch.full_like(hpreact, 1e-9)
