dC = torch.zeros_like(C)
k = 0
while k < Xb.shape[0]:
    for j in range(Xb.shape[1]):
        dC[Xb[k, j]] += demb[k, j]
