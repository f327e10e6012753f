dhprebn_test = dbndiff + nonexistent
