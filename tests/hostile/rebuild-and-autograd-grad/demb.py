demb, = torch.autograd.grad(t['loss'], t['emb'], retain_graph=True)
