dC = torch.zeros_like(C)
dC[Xb] += demb   # vectorized!
