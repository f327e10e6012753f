dlogits = dnorm_logits
dlogits[range(n), logits.max(1).indices] += dlogit_maxes.squeeze(1)
