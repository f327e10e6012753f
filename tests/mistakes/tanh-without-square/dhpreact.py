dhpreact = (1 - h) * dh
