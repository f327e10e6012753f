tmp = 2 * bndiff * dbndiff2
tmp2 = bnvar_inv * dbnraw
dbndiff = tmp + tmp2
