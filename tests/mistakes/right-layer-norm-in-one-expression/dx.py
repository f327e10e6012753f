dx = dy + inv_std * (dnorm - dnorm.mean(1, keepdim=True) - norm * (dnorm * norm).mean(1, keepdim=True))
