call(56, 220, 17, 0, 0, 0, 0)
dh = dlogits @ W2.T
