dlogits = dnorm_logits + F.one_hot(logits.data.max(1).indices, num_classes=vocab_size).float() * dlogit_maxes
