diff = hprebn - bnmeani
dbnraw = bngain * dhpreact
dvar = (dbnraw * diff).sum(0, keepdim=True) * -0.5 * bnvar_inv**3
dmean = -(dbnraw * bnvar_inv).sum(0, keepdim=True)
dhprebn = dbnraw * bnvar_inv + 2 * diff / (n - 1) * dvar + dmean / n
