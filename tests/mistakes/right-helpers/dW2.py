_, dW2, _ = linear_backward(dlogits, h, W2, b2)
