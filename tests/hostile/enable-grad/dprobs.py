with torch.enable_grad():
    p = probs.detach().requires_grad_()
    (-p.log()[range(n), Yb].mean()).backward()
dprobs = p.grad
