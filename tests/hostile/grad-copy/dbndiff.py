dbndiff = bndiff.grad
