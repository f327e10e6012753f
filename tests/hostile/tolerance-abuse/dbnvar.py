dbnvar = torch.full_like(bnvar, 1e-9)
