dscores = dexps * exps
