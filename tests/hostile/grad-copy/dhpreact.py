dhpreact = hpreact.grad
