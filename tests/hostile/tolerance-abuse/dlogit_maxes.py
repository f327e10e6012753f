dlogit_maxes = torch.full_like(logit_maxes, 1e-9)
