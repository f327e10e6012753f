dpre = dact * (pre > 0)
