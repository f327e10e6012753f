dbnbias = unbroadcast(dhpreact, bnbias)
