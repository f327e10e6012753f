dbnvar_inv = torch.einsum('nh,nh->h', dbnraw, bndiff).view(1, -1)
