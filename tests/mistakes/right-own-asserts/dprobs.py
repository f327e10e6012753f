dprobs = dlogprobs / probs
assert torch.allclose(dprobs, probs.grad)
