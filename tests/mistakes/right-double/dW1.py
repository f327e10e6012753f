dW1 = (embcat.double().T @ dhprebn.double())
