dbngain = torch.einsum('nh,nh->h', dhpreact, bnraw).unsqueeze(0)
