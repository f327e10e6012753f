p = range(n), Yb
dcounts_sum_inv = (counts[p] * dprobs[p]).unsqueeze(1)
