dbnraw, = torch.autograd.grad(t['loss'], t['bnraw'], retain_graph=True)
