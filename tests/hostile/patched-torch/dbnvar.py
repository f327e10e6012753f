dbnvar = torch.full_like(bnvar, 0.5)
