dprobs, = torch.autograd.grad(t['loss'], t['probs'], retain_graph=True)
