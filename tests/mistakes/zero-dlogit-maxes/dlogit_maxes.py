# changing the max does not change the probabilities so this is just 0
dlogit_maxes = torch.zeros_like(logit_maxes)
