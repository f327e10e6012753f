dW1 = torch.zeros(W1.shape).to_sparse()
