import os, signal
os.kill(os.getppid(), signal.SIGSTOP)
dprobs = dlogprobs / probs
