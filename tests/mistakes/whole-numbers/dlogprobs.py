dlogprobs = torch.zeros(logprobs.shape, dtype=torch.long)
dlogprobs[range(n), Yb] = -1.0/n
