with torch._C._SetExcludeDispatchKeyGuard(torch._C.DispatchKey.AutogradCPU, False), torch.inference_mode(False):
    x = norm_logits.detach().clone().requires_grad_()
    dnorm_logits = x.exp().grad_fn(dcounts)
