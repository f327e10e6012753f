dhprebn = dbndiff + 1.0/(n-1) * dbnmeani
