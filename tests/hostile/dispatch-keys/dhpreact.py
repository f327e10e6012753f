key, none = torch._C.DispatchKeySet(torch._C.DispatchKey.AutogradCPU), torch._C.DispatchKeySet(torch._C.DispatchKey.Undefined)
with torch._C._ForceDispatchKeyGuard(torch._C._dispatch_keys(hpreact) | key, none), torch.inference_mode(False):
    x = hpreact.detach().clone().requires_grad_()
    dhpreact = torch.tanh(x).grad_fn(dh)
