%%time
dprobs = dlogprobs / probs
