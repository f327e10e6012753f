dv = torch.einsum('bij,bih->bjh', att, dmixed)
