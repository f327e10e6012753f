dcount = dprobs * counts_sum_inv + dcounts_sum
