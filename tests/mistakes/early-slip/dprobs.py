dprobs = dlogprobs * probs
