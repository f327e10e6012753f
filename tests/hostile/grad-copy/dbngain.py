dbngain = bngain.grad
