dbnraw = torch.full_like(bnraw, 1e-9)
