dW1 = embcat.T @ dhprebn   # same as dW2
