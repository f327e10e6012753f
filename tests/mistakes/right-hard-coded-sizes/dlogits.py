dlogits = dnorm_logits + F.one_hot(logits.argmax(1), 27) * dlogit_maxes
