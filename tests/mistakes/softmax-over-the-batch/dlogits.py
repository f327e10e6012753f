dlogits = (F.softmax(logits, 0) - F.one_hot(Yb, vocab_size)) / n
