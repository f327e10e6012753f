dgain = (dscaled * norm).sum(1, keepdim=True)
