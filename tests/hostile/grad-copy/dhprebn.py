dhprebn = hprebn.grad
