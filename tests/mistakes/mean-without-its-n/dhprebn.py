dhprebn = dbndiff.clone()
dhprebn += dbnmeani
