dlogit_maxes = t['logit_maxes'].grad
