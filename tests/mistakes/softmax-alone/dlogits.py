dlogits = F.softmax(logits, 1) / n
