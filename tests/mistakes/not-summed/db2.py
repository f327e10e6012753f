db2 = dlogits
