dlogits = dnorm_logits.clone()
