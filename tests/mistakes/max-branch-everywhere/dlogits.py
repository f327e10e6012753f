dlogits = dnorm_logits + dlogit_maxes
