dbnvar_inv = (bnraw * dbnraw).sum(0, keepdim=True)
