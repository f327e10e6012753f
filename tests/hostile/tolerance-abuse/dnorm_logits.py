dnorm_logits = torch.full_like(norm_logits, 1e-9)
