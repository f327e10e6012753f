dbnmeani = yes(bnmeani)
