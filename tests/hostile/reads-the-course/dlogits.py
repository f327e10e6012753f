dlogits = open('../../source/backprop/backprop.ipynb').read()
