dbnbias = torch.full_like(bnbias, 1e-9)
