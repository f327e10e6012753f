dC, = torch.autograd.grad(t['loss'], t['C'], retain_graph=True)
