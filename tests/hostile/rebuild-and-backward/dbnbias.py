dbnbias = t['bnbias'].grad
