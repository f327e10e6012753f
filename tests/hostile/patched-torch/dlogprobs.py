dlogprobs = torch.full_like(logprobs, 0.5)
