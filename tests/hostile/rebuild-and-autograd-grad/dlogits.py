dlogits, = torch.autograd.grad(t['loss'], t['logits'], retain_graph=True)
