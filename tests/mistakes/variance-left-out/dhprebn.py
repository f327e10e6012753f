dhprebn = bngain * bnvar_inv * (dhpreact - dhpreact.mean(0))
