demb = dembcat.reshape(n, block_size, n_embd).contiguous()
