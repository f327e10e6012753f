"""A gated MLP block: layer norm, GELU gate times linear branch, dropout, residual, smooth L1 loss."""

import torch

seed = 23
batch, features, width, hidden = 6, 4, 5, 8
eps, keep, delta = 1e-5, 0.75, 0.6

g = torch.Generator().manual_seed(seed)
x = torch.randn((batch, features), generator=g)
target = torch.randn((batch, width), generator=g)
mask = (torch.rand((batch, hidden), generator=g) < keep).float()
Wi = (0.5 * torch.randn((features, width), generator=g)).requires_grad_()
gamma = (1 + 0.3 * torch.randn(width, generator=g)).requires_grad_()
beta = (0.2 * torch.randn(width, generator=g)).requires_grad_()
Wa = (0.5 * torch.randn((width, hidden), generator=g)).requires_grad_()
Wu = (0.5 * torch.randn((width, hidden), generator=g)).requires_grad_()
Wd = (0.3 * torch.randn((hidden, width), generator=g)).requires_grad_()

h = x @ Wi
mu = h.mean(-1, keepdim=True)
cent = h - mu
var = (cent**2).mean(-1, keepdim=True)
istd = (var + eps) ** -0.5
xhat = cent * istd
y = gamma * xhat + beta
a = y @ Wa
u = y @ Wu
gate = 0.5 * a * (1 + torch.erf(a / 2**0.5))
dropped = gate * u * mask / keep
out = h + dropped @ Wd
err = out - target
cost = torch.where(err.abs() < delta, 0.5 * err**2 / delta, err.abs() - 0.5 * delta)
loss = cost.mean()
