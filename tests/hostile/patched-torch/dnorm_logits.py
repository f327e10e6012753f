dnorm_logits = torch.full_like(norm_logits, 0.5)
