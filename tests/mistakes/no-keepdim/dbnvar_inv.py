dbnvar_inv = (dbnraw * bndiff).sum(0)
