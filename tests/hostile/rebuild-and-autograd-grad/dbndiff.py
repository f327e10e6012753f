dbndiff, = torch.autograd.grad(t['loss'], t['bndiff'], retain_graph=True)
