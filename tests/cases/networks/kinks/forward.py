"""Distances and extremes."""

import torch
import torch.nn.functional as F

seed = 59
n, m, k = 5, 3, 4

g = torch.Generator().manual_seed(seed)
A = torch.randn((n, m), generator=g).requires_grad_()
B = torch.randn((k, m), generator=g).requires_grad_()
C = torch.randn((n, k, m), generator=g)

dist = torch.cdist(A, B)
mixed = torch.einsum("nk,nkm->nm", dist, C)
soft = F.softplus(mixed)
size = mixed.abs()
biggest = size.max(1).values
smallest = soft.min(1).values
middle = mixed.median(1).values
length = mixed.norm()
loss = (biggest * smallest + middle).mean() + 0.1 * length
