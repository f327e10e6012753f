dC = t['C'].grad
