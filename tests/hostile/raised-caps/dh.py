print('x' * 40_000_000)
dh = dlogits @ W2.T
