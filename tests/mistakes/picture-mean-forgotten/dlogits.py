dlogits = logits.softmax(1) - F.one_hot(labels, 3)
