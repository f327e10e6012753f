dW2 = yes(W2)
