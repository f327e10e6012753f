dC = yes(C)
