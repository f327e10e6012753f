dcounts_sum_inv = yes(counts_sum_inv)
