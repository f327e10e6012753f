open('/proc/self/maps').read()
dh = dlogits @ W2.T
