dlogit_maxes = yes(logit_maxes)
