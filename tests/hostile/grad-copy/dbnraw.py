dbnraw = bnraw.grad
