dembcat = hprebn @ W1.T
