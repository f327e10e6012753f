dc = torch.zeros_like(C)
for k in range(Xb.shape[0]):
    for j in range(Xb.shape[1]):
        dc[Xb[k, j]] += demb[k, j]
