dmean = -dcentred.sum(0, keepdim=True)
