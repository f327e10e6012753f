dbnvar = (-0.5 * bnvar**-1.5) * dbnvar_inv
