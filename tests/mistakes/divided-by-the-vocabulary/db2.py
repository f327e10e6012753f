db2 = dlogits.sum(0) / vocab_size
