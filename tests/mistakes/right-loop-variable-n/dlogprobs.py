dlogprobs = torch.zeros_like(logprobs)
N = n
for n in range(N):
    dlogprobs[n, Yb[n]] = -1 / N
