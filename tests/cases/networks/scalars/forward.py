"""One neuron, as in micrograd."""

import torch

seed = 2

g = torch.Generator().manual_seed(seed)
x1, x2, w1, w2, b = torch.randn(5, generator=g)
a = torch.randn((), generator=g).requires_grad_()
c = torch.randn((), generator=g).requires_grad_()
e = a * c
d = e + a * x1
f = torch.tanh(d * x2)
loss = f * e
