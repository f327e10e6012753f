with torch.inference_mode(False):
    x = hpreact.detach().clone().requires_grad_()
    dhpreact = torch.tanh(x).grad_fn(dh)
