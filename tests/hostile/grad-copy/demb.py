demb = emb.grad
