import os
dh = h * 0
os._exit(0)
