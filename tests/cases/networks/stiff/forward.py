"""Saturated tanh, a residual with a tiny branch, batch norm far from zero, and a huge branch that cancels."""

import torch

seed = 31
rows, width = 12, 6

g = torch.Generator().manual_seed(seed)
x = (50 + torch.randn((rows, width), generator=g)).requires_grad_()
W = (3 * torch.randn((width, width), generator=g)).requires_grad_()
V = (1e-3 * torch.randn((width, width), generator=g)).requires_grad_()
target = torch.randn((rows, width), generator=g)

mean = x.mean(0, keepdim=True)
diff = x - mean
var = (diff**2).mean(0, keepdim=True)
inv = (var + 1e-5) ** -0.5
norm = diff * inv
pre = norm @ W
h = torch.tanh(pre)
side = torch.tanh(h @ V)
out = h + 1e-3 * side @ V
loss = ((out - target) ** 2).mean()
