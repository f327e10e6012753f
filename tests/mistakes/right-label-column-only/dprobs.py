dprobs = torch.zeros_like(probs)
dprobs[range(n), Yb] = -1/(n * probs[range(n), Yb])
