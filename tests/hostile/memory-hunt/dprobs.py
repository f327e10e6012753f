dprobs = hunt(probs)
