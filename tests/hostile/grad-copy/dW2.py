dW2 = W2.grad
