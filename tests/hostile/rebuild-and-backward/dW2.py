dW2 = t['W2'].grad
