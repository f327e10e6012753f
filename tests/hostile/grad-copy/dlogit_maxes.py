dlogit_maxes = logit_maxes.grad
