db1 = unbroadcast(dhprebn, b1)
