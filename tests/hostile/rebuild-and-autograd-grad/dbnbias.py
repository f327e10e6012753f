dbnbias, = torch.autograd.grad(t['loss'], t['bnbias'], retain_graph=True)
