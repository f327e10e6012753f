dh = dlogits @ W2.T
dhpreact = (1 - h**2) * dh
dbnraw = dhpreact * bngain
