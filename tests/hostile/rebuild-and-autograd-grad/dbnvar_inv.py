dbnvar_inv, = torch.autograd.grad(t['loss'], t['bnvar_inv'], retain_graph=True)
