dembcat = embcat.grad
