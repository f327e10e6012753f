demb = yes(emb)
