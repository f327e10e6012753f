dprobs
