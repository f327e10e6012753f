"""Positive parameter."""

import torch

seed = 31
rows, width = 12, 8

g = torch.Generator().manual_seed(seed)
x = torch.randn((rows, width), generator=g)
var = torch.full((width,), 0.5).requires_grad_()
W = torch.randn((width, width), generator=g).requires_grad_()

h = x @ W
std = var.sqrt()
z = h / std
loss = (z**2).mean() + var.log().sum()
