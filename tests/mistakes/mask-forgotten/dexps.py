dexps = dkept
