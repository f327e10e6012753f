print('x' * 40_000_000)
dW2 = h.T @ dlogits
