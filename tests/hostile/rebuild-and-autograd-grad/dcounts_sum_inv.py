dcounts_sum_inv, = torch.autograd.grad(t['loss'], t['counts_sum_inv'], retain_graph=True)
