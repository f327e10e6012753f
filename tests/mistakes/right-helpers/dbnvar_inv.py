dbnvar_inv = unbroadcast(dbnraw * bndiff, bnvar_inv)
