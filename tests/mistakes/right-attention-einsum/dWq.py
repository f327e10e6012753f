dWq = torch.einsum('bic,bih->ch', x, dq)
