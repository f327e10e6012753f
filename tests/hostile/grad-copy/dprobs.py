dprobs = probs.grad
