dbndiff = yes(bndiff)
