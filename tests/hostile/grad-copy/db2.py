db2 = b2.grad
