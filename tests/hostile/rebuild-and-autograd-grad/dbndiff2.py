dbndiff2, = torch.autograd.grad(t['loss'], t['bndiff2'], retain_graph=True)
