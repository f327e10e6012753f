# came back to this later
dbnmeani = (-dbndiff).sum(0)
