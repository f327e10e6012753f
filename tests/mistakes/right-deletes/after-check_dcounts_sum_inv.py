del dprobs, logprobs
