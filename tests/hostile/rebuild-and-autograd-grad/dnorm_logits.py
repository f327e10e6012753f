dnorm_logits, = torch.autograd.grad(t['loss'], t['norm_logits'], retain_graph=True)
