import os
demb = emb * 0
os._exit(0)
