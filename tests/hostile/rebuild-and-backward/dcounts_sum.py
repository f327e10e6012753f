dcounts_sum = t['counts_sum'].grad
