dbnvar_inv = bnvar_inv.grad
