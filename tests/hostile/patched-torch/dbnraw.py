dbnraw = torch.full_like(bnraw, 0.5)
