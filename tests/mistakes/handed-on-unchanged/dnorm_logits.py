dnorm_logits = dcounts.clone()
