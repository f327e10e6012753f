dlogits = t['logits'].grad
