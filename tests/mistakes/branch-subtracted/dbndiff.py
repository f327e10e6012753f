dbndiff = bnvar_inv * dbnraw - 2*bndiff * dbndiff2
