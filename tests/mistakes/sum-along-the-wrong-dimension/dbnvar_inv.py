dbnvar_inv = (dbnraw * bndiff).sum(1, keepdim=True)
