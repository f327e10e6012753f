dlogits = (F.one_hot(Yb, vocab_size) - F.softmax(logits, 1)) / n
