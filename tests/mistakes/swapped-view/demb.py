demb = dembcat.view(n, n_embd, block_size).transpose(1, 2)
