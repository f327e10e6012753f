dbnvar, = torch.autograd.grad(t['loss'], t['bnvar'], retain_graph=True)
