db2 = sum(dlogits[i] for i in range(n))
