dexps = dkept.masked_fill(mask == 0, 0.0)
