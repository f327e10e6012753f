dhprebn = bngain * bnvar_inv / n * (n * dhpreact - dhpreact.sum(1, keepdim=True) - n / (n-1) * bnraw * (dhpreact * bnraw).sum(0))
