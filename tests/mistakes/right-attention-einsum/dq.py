dq = torch.einsum('bij,bjh->bih', dscores, k) / head_size**0.5
