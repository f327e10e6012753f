dlogits = logits.softmax(1) / n
