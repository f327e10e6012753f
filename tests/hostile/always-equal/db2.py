db2 = yes(b2)
