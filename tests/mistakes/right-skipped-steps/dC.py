dC = torch.zeros_like(C)
for k in range(n):
    for j in range(block_size):
        dC[Xb[k,j]] += dembcat[k, j*n_embd:(j+1)*n_embd]
