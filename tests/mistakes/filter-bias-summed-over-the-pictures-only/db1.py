db1 = dconv.sum(0)
