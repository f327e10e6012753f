dk = dscores.transpose(1, 2) @ q
