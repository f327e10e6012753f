dbndiff2 = yes(bndiff2)
