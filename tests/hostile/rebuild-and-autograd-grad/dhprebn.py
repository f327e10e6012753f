dhprebn, = torch.autograd.grad(t['loss'], t['hprebn'], retain_graph=True)
