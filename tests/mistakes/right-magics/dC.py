%%time
dC = torch.zeros_like(C)
for k in range(n):
    for j in range(block_size):
        dC[Xb[k, j]] += demb[k, j]
