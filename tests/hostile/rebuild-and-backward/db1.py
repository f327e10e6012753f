db1 = t['b1'].grad
