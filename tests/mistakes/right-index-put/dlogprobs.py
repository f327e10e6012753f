dlogprobs = torch.zeros_like(logprobs).scatter_(1, Yb.unsqueeze(1), -1/n)
