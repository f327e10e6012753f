dbndiff = bnvar_inv * dbnraw
