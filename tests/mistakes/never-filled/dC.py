dC = torch.zeros_like(C)
grads = torch.zeros_like(C)
for k in range(Xb.shape[0]):
    for j in range(Xb.shape[1]):
        grads[Xb[k, j]] += demb[k, j]
