dlogprobs, = torch.autograd.grad(t['loss'], t['logprobs'], retain_graph=True)
