db2, = torch.autograd.grad(t['loss'], t['b2'], retain_graph=True)
