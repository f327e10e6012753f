dW1 = [p for p in parameters if p.shape == (30, 64)][0].grad.detach()
