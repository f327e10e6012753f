dhprebn = dbndiff.clone()
