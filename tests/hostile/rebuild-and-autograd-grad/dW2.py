dW2, = torch.autograd.grad(t['loss'], t['W2'], retain_graph=True)
