dinv_std = (dnorm * centred).sum(0, keepdim=True)
