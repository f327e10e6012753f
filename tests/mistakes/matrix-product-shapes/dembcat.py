dembcat = dhprebn @ W1
