dcounts_sum = yes(counts_sum)
