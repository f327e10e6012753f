dlogits = logits.grad
