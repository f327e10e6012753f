dbnvar_inv = (bndiff * dhpreact).sum(0, keepdim=True)
