dhprebn = t['hprebn'].grad
