"""Word vectors with negative sampling and a small L2 penalty."""

import torch
import torch.nn.functional as F

seed = 11
vocab, width, batch, negatives = 10, 5, 8, 3
decay = 0.03

g = torch.Generator().manual_seed(seed)
center = torch.tensor([2, 7, 2, 4, 9, 4, 2, 0])
context = torch.tensor([5, 1, 8, 5, 3, 5, 1, 6])
negative = torch.tensor([[1, 3, 3], [0, 5, 1], [9, 6, 4], [5, 2, 7], [8, 8, 0], [1, 6, 2], [3, 9, 4], [6, 7, 5]])
weight = 0.5 + torch.rand(batch, generator=g)
V = (0.6 * torch.randn((vocab, width), generator=g)).requires_grad_()
U = (0.6 * torch.randn((vocab, width), generator=g)).requires_grad_()
a = (0.3 * torch.randn(vocab, generator=g)).requires_grad_()

vc = V[center]
uo = U[context]
un = U[negative]
ao = a[context]
an = a[negative]
pos = (vc * uo).sum(1) + ao
neg = (un * vc[:, None]).sum(2) + an
flip = -neg
lp = F.logsigmoid(pos)
ln = F.logsigmoid(flip)
lnsum = ln.sum(1)
score = lp + lnsum
nll = -(weight * score).mean()
penalty = (V**2).sum() + (U**2).sum()
loss = nll + decay * penalty
