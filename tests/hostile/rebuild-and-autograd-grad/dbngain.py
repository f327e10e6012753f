dbngain, = torch.autograd.grad(t['loss'], t['bngain'], retain_graph=True)
