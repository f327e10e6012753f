dbnbias = torch.full_like(bnbias, 0.5)
