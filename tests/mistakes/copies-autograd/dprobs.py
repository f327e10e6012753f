# TODO come back
dprobs = probs.grad
