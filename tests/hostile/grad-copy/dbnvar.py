dbnvar = bnvar.grad
