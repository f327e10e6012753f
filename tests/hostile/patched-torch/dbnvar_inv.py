dbnvar_inv = torch.full_like(bnvar_inv, 0.5)
