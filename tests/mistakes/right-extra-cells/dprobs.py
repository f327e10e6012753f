print(probs.shape, dlogprobs.shape)
dprobs = dlogprobs / probs
print(dprobs.shape)
dprobs
