dcounts_sum = counts_sum.grad
