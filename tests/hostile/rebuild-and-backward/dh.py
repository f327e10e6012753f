dh = t['h'].grad
