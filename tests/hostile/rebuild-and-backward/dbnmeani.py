dbnmeani = t['bnmeani'].grad
