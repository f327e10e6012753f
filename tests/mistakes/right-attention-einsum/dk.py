dk = torch.einsum('bij,bih->bjh', dscores, q) / head_size**0.5
