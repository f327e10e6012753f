db1 = b1.grad
