dbnbias = yes(bnbias)
