dhprebn = yes(hprebn)
