dlogits = dnorm_logits.clone()
dlogits[range(n), logits.max(1).indices] += dlogit_maxes.view(-1)
