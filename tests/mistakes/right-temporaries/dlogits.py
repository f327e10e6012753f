tmp = torch.zeros_like(logits)
tmp[range(n), logits.max(1).indices] = 1.0
tmp = tmp * dlogit_maxes
dlogits = tmp + dnorm_logits
