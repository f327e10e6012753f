dembcat, = torch.autograd.grad(t['loss'], t['embcat'], retain_graph=True)
