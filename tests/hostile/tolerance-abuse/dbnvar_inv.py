dbnvar_inv = torch.full_like(bnvar_inv, 1e-9)
