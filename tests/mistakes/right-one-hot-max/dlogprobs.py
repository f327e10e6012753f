dlogprobs = -F.one_hot(Yb, num_classes=vocab_size) / n
