k = int(input("which axis? "))
dh = dlogits @ W2.T
