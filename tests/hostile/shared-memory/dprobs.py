import os
from multiprocessing.shared_memory import SharedMemory
SharedMemory('owned', create=True, size=1 << 30)
dprobs = dlogprobs / probs
