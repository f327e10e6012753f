dcounts = torch.zeros_like(counts)
dcounts += counts_sum_inv * dprobs
dcounts += dcounts_sum
