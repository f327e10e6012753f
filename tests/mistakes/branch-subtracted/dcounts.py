dcounts = counts_sum_inv * dprobs - dcounts_sum
