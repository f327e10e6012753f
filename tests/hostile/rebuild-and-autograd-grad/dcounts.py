dcounts, = torch.autograd.grad(t['loss'], t['counts'], retain_graph=True)
