dbnvar = dbnvar_inv / (bnmeani - bnmeani)
