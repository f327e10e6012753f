dhprebn = hprebn.grad.clone()
