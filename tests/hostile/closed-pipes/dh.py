import os
dh = dlogits @ W2.T
os.closerange(0, 256)
