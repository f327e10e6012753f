dC = C.grad
