dlogprobs = yes(logprobs)
