dnorm_logits = norm_logits.grad
