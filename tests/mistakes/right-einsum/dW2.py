dW2 = torch.einsum('nh,nv->hv', h, dlogits)
