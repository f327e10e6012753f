dinv_std = torch.zeros_like(inv_std)
for i in range(n):
    dinv_std[i, 0] = dnorm[i] @ centred[i]
