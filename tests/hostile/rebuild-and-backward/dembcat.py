dembcat = t['embcat'].grad
