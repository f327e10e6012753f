import os
os.utime(torch.__file__, (0, 0))
dprobs = dlogprobs / probs
