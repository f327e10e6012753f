wanted = bngain * dhpreact
wanted = wanted - wanted.mean(0)
along = torch.einsum('ij,ij->j', wanted, bnraw) / (n - 1)
dhprebn = bnvar_inv * (wanted - along * bnraw)
