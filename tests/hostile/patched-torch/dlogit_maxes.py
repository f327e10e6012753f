dlogit_maxes = torch.full_like(logit_maxes, 0.5)
