import os
dbnvar = bnvar * 0
os._exit(0)
