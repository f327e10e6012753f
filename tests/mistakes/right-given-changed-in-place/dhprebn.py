dbnraw = hpreact.grad * bngain
dhprebn = dhpreact
dhprebn *= bngain
dhprebn -= (dbnraw.sum(0, keepdim=True) + n / (n-1) * bnraw * (dbnraw * bnraw).sum(0, keepdim=True)) / n
dhprebn *= bnvar_inv
