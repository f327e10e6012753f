dnorm = dscaled
