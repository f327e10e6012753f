"""Eight steps of a network that forgets."""

import torch

seed = 3
batch, width, steps = 4, 5, 8

g = torch.Generator().manual_seed(seed)
x = torch.randn((steps, batch, width), generator=g)
W = (0.1 * torch.randn((width, width), generator=g)).requires_grad_()
h0 = torch.randn((batch, width), generator=g).requires_grad_()
h1 = torch.tanh(x[0] + h0 @ W)
h2 = torch.tanh(x[1] + h1 @ W)
h3 = torch.tanh(x[2] + h2 @ W)
h4 = torch.tanh(x[3] + h3 @ W)
h5 = torch.tanh(x[4] + h4 @ W)
h6 = torch.tanh(x[5] + h5 @ W)
h7 = torch.tanh(x[6] + h6 @ W)
h8 = torch.tanh(x[7] + h7 @ W)
loss = (h8**2).mean()
