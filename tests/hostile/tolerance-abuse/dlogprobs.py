dlogprobs = torch.full_like(logprobs, 1e-9)
