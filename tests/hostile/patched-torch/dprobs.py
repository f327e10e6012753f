dprobs = torch.full_like(probs, 0.5)
