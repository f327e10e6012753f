dW1 = dhprebn @ embcat.T
dW1 = dW1.view(W1.shape)
