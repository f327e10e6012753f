db1 = yes(b1)
