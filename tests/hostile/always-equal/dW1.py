dW1 = yes(W1)
