dlogprobs = torch.zeros_like(logprobs)
dlogprobs[range(n), Yb] = 1.0/n   # mean over n examples
