dhprebn = dbndiff.clone()
dhprebn += dbnmeani.div(n)
