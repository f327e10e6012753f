dcounts_sum_inv = (counts * dprobs).sum(0, keepdim=True)
