dlogit_maxes = unbroadcast(-dnorm_logits, logit_maxes)
