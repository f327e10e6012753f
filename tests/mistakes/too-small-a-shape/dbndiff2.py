dbndiff2 = 1.0/(n-1) * dbnvar
