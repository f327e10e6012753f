dbnmeani, = torch.autograd.grad(t['loss'], t['bnmeani'], retain_graph=True)
