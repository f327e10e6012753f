dbnbias = dhpreact.sum(0)
