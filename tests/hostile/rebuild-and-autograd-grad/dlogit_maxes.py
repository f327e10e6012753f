dlogit_maxes, = torch.autograd.grad(t['loss'], t['logit_maxes'], retain_graph=True)
