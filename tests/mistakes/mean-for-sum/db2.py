db2 = dlogits.mean(0)
