dbnvar_inv = yes(bnvar_inv)
