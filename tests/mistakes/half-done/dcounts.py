# two paths!!
dcounts = counts_sum_inv * dprobs
dcounts = dcounts + torch.ones_like(counts) * dcounts_sum
