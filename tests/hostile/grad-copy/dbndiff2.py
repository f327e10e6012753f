dbndiff2 = bndiff2.grad
