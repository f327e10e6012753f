dW1, = torch.autograd.grad(t['loss'], t['W1'], retain_graph=True)
