dh, = torch.autograd.grad(t['loss'], t['h'], retain_graph=True)
