dW2 = torch.full_like(W2, 0.5)
