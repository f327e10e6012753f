dbnmeani = unbroadcast(-dbndiff, bnmeani)
