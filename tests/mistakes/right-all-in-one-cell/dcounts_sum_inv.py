dcounts_sum_inv   # see above
