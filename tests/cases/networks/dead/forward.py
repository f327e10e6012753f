"""Dead."""

import torch

seed = 31

g = torch.Generator().manual_seed(seed)
x = torch.randn((4, 3), generator=g)
W = torch.randn((3, 1), generator=g).requires_grad_()

h = x @ W
loss = (h - 2.0).relu().sum()
