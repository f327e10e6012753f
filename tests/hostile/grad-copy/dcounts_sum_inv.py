dcounts_sum_inv = counts_sum_inv.grad
