db2 = torch.einsum('nv->v', dlogits)
