dh = torch.einsum('nv,hv->nh', dlogits, W2)
