dlogprobs = torch.zeros_like(logprobs)
dlogprobs[range(n), Yb] = -1.0   # forgot the mean?
