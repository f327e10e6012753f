dbngain = dhpreact * bnraw
