db1, = torch.autograd.grad(t['loss'], t['b1'], retain_graph=True)
