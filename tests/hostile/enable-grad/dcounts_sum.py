torch.set_grad_enabled(True)
torch._C._set_grad_enabled(True)
p = counts_sum.detach().requires_grad_()
(p**-1).backward(dcounts_sum_inv)
dcounts_sum = p.grad
