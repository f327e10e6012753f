dW1 = t['W1'].grad
