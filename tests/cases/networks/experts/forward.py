"""A layer of three experts: each row goes to the one with the highest score."""

import torch

seed = 5
rows, width, experts, hidden = 6, 4, 3, 5

g = torch.Generator().manual_seed(seed)
x = torch.randn((rows, width), generator=g).requires_grad_()
R = torch.randn((width, experts), generator=g).requires_grad_()
A = torch.randn((experts, width, hidden), generator=g).requires_grad_()
B = torch.randn((experts, hidden, width), generator=g).requires_grad_()

scores = x @ R
probs = torch.softmax(scores, 1)
gate = probs.max(1).values
which = probs.argmax(1)
pre = torch.einsum("nd,edh->neh", x, A)
act = torch.relu(pre)
out = torch.einsum("neh,ehd->ned", act, B)
picked = out[torch.arange(rows), which]
y = picked * gate[:, None]
loss = (y**2).mean()
