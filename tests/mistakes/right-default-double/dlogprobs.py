dlogprobs = torch.zeros(logprobs.shape)
dlogprobs[range(n), Yb] = -1 / n
