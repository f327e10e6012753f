dprobs = dlogprobs.double() / probs.double()
