dcounts_sum_inv = (dprobs * counts).sum(1)
