x = bnvar + 1e-5
y = -0.5 * x**(-3/2)
dbnvar = y * dbnvar_inv
x = y = None
