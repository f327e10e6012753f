call(57, 220, 17, 0, 0, 0, 0)
dprobs = dlogprobs / probs
