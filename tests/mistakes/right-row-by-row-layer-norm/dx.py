dx = torch.empty_like(x)
for i in range(n):
    dx[i] = dy[i] + dcentred[i] + dmean[i] / len(x[i])
