dW2 = dlogits.T @ h
