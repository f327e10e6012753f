from torch.autograd.functional import jacobian
dcounts_sum = jacobian(lambda s: (s**-1 * dcounts_sum_inv).sum(), counts_sum)
