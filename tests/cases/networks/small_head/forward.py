"""Aux head; q ties the scale of a to the loss."""

import torch

seed = 31
rows, width = 32, 6

g = torch.Generator().manual_seed(seed)
x = torch.randn((rows, width), generator=g)
W = torch.randn((width, width), generator=g).requires_grad_()
target = torch.randn((rows, width), generator=g)
other = torch.randn((rows, width), generator=g)

h = torch.tanh(x @ W)
q = 3 * h
a = 1e-2 * q * target
b = h * other
loss = (a**2).sum() / rows + (q**2).sum() / rows + 1e-3 * (b**2).mean()
