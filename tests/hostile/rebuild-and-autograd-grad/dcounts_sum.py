dcounts_sum, = torch.autograd.grad(t['loss'], t['counts_sum'], retain_graph=True)
