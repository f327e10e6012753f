dbngain = yes(bngain)
