dbnvar = yes(bnvar)
