import os
db2 = b2 * 0
os._exit(0)
