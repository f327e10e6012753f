dbnbias = dhpreact.mean(0, keepdim=True)
