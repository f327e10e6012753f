dbnmeani = dbndiff.sum(0)
