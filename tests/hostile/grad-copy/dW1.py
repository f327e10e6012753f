dW1 = W1.grad
