dW1 = torch.zeros(27**8)
