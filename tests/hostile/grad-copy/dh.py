dh = h.grad
