dscores = dexps * exps + dmaxes
