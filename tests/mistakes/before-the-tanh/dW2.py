dW2 = hpreact.T @ dlogits
