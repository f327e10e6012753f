dlogits = F.softmax(logits, 1)
dlogits[:, Yb] -= 1
dlogits /= n
