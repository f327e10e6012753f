dcounts_sum_inv = dprobs.sum(1, keepdim=True)
