mask = (logits == logit_maxes).float()
assert (mask.sum(1) == 1).all()
dlogits = dnorm_logits.clone()
dlogits += mask * dlogit_maxes
