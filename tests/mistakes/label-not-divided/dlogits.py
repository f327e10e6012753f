dlogits = F.softmax(logits, 1) / n
dlogits[range(n), Yb] -= 1
