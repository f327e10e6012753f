"""Triplet loss on normalised embeddings of a shared two-layer network."""

import torch

seed = 23
batch, inputs, hidden, width = 16, 5, 8, 4
margin = 0.8

g = torch.Generator().manual_seed(seed)
xa, xn = torch.randn((2, batch, inputs), generator=g)
xp = xa + 0.7 * torch.randn((batch, inputs), generator=g)
W1 = (0.5 * torch.randn((inputs, hidden), generator=g)).requires_grad_()
b1 = (0.3 * torch.randn(hidden, generator=g)).requires_grad_()
W2 = (0.4 * torch.randn((hidden, width), generator=g)).requires_grad_()
b2 = (0.2 * torch.randn(width, generator=g)).requires_grad_()

ha = torch.relu(xa @ W1 + b1)
hp = torch.relu(xp @ W1 + b1)
hn = torch.relu(xn @ W1 + b1)
ea = ha @ W2 + b2
ep = hp @ W2 + b2
en = hn @ W2 + b2
la = (ea**2).sum(1, keepdim=True).sqrt()
lp = (ep**2).sum(1, keepdim=True).sqrt()
ln = (en**2).sum(1, keepdim=True).sqrt()
ua = ea / la
up = ep / lp
un = en / ln
sqpos = ((ua - up) ** 2).sum(1)
sqneg = ((ua - un) ** 2).sum(1)
gap = sqpos - sqneg + margin
hinge = torch.relu(gap)
loss = hinge.mean()
