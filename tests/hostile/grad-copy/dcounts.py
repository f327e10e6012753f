dcounts = counts.grad
