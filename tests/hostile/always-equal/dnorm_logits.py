dnorm_logits = yes(norm_logits)
