dcounts_sum_inv = unbroadcast(dprobs * counts, counts_sum_inv)
