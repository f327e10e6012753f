dbndiff = bnvar_inv * dbnraw
dbndiff = dbndiff + bndiff * dbndiff2
