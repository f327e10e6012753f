dbnraw = t['bnraw'].grad
