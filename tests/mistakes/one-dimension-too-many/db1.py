db1 = dhprebn.sum(0, keepdim=True)
