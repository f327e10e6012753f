probs.shape, logprobs.shape
