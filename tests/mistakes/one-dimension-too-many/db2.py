db2 = dlogits.sum(0, keepdim=True)
