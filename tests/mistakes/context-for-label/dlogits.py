dlogits = F.softmax(logits, 1)
dlogits[range(n), Xb[:, -1]] -= 1
dlogits /= n
