dlogprobs = logprobs.grad
