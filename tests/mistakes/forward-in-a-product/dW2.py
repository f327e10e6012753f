dW2 = h.T @ logits
