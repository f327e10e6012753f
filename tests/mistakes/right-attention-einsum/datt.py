datt = torch.einsum('bih,bjh->bij', dmixed, v)
