import os
db1 = b1 * 0
os._exit(0)
