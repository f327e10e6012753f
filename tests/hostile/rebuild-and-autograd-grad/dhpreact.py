dhpreact, = torch.autograd.grad(t['loss'], t['hpreact'], retain_graph=True)
