import os
open(f'/proc/{os.getppid()}/mem', 'rb').seek(0)
dprobs = dlogprobs / probs
