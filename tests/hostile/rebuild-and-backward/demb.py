demb = t['emb'].grad
