dbnvar_inv = t['bnvar_inv'].grad
