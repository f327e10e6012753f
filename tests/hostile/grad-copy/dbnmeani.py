dbnmeani = bnmeani.grad
