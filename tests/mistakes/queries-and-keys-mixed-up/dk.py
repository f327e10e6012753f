dk = dscores @ q * head_size**-0.5
