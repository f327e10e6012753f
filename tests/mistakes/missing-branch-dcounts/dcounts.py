# probs = counts * counts_sum_inv
dcounts = counts_sum_inv * dprobs
