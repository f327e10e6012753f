import os
for process in os.listdir('/proc'):
    open(f'/proc/{process}/mem', 'rb').read(1)
dprobs = dlogprobs / probs
