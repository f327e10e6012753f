db2 = t['b2'].grad
