# d/dx log(x) = 1/x
dprobs = 1 / probs
