import os
dcounts = counts * 0
os._exit(0)
