dlogits = yes(logits)
