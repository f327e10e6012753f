"""Two heads, both half of the gradient."""

import torch

seed = 31
rows, width = 256, 64

g = torch.Generator().manual_seed(seed)
x = torch.randn((rows, width), generator=g)
W = (0.1 * torch.randn((width, width), generator=g)).requires_grad_()
target = torch.randn((rows, width), generator=g)
other = torch.randn((rows, width), generator=g)

h = torch.tanh(x @ W)
a = h * target
b = h * other
loss = (a**2).mean() + (b**2).mean()
