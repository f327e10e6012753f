dbnbias = bnbias.grad
