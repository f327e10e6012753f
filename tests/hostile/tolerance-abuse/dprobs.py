dprobs = torch.full_like(probs, 1e-9)
