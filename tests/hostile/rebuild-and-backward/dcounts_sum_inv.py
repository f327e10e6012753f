dcounts_sum_inv = t['counts_sum_inv'].grad
