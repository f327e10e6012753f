dhprebn = bngain * bnvar_inv * dhpreact
