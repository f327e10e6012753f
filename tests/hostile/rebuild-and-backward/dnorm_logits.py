dnorm_logits = t['norm_logits'].grad
