dprobs = yes(probs)
