dbngain = unbroadcast(dhpreact * bnraw, bngain)
