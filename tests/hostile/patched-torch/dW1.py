dW1 = torch.full_like(W1, 0.5)
