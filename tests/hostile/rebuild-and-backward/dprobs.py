dprobs = t['probs'].grad
