dprobs = torch.ones_like(probs)
