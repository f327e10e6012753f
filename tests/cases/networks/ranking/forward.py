"""Matrix factorisation with item biases and a bilinear term, pairwise logistic loss, weight decay."""

import torch
import torch.nn.functional as F

seed = 31
users, items, rank, pairs = 5, 7, 4, 9
lam = 0.03

g = torch.Generator().manual_seed(seed)
user = torch.tensor([0, 2, 2, 4, 0, 1, 2, 4, 1])
pos = torch.tensor([3, 1, 6, 3, 0, 1, 3, 6, 2])
neg = torch.tensor([1, 2, 3, 2, 2, 6, 0, 1, 0])
U = (0.7 * torch.randn((users, rank), generator=g)).requires_grad_()
V = (0.7 * torch.randn((items, rank), generator=g)).requires_grad_()
c = (0.3 * torch.randn(items, generator=g)).requires_grad_()
M = (0.5 * torch.randn((rank, rank), generator=g)).requires_grad_()

u = U[user]
vp = V[pos]
vn = V[neg]
cp = c[pos]
cn = c[neg]
t = u @ M
sp = (u * vp).sum(-1) + (t * vp).sum(-1) + cp
sn = (u * vn).sum(-1) + (t * vn).sum(-1) + cn
margin = sp - sn
nll = F.softplus(-margin)
bpr = nll.mean()
decay = (U**2).sum() + (V**2).sum() + (M**2).sum()
loss = bpr + lam * decay
