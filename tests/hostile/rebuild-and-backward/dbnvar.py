dbnvar = t['bnvar'].grad
