dbngain = (dhpreact * bnraw).sum(0)
