"""One causal attention head with rotary position embeddings, mean squared error."""

import torch

seed = 17
batch, time, width, half, out = 3, 5, 7, 4, 2

g = torch.Generator().manual_seed(seed)
x = torch.randn((batch, time, width), generator=g)
target = torch.randn((batch, time, out), generator=g)
angle = torch.arange(time)[:, None] / 20 ** (torch.arange(half) / half)
cos = torch.cos(angle)
sin = torch.sin(angle)
visible = torch.ones((time, time)).tril().bool()
scale = (2 * half) ** -0.5
Wq = (0.5 * torch.randn((width, 2 * half), generator=g)).requires_grad_()
Wk = (0.5 * torch.randn((width, 2 * half), generator=g)).requires_grad_()
Wv = (0.4 * torch.randn((width, 2 * half), generator=g)).requires_grad_()
Wo = (0.4 * torch.randn((2 * half, out), generator=g)).requires_grad_()
bo = (0.1 * torch.randn(out, generator=g)).requires_grad_()

q = x @ Wq
k = x @ Wk
v = x @ Wv
qa = q[..., :half] * cos - q[..., half:] * sin
qb = q[..., :half] * sin + q[..., half:] * cos
ka = k[..., :half] * cos - k[..., half:] * sin
kb = k[..., :half] * sin + k[..., half:] * cos
scores = (qa @ ka.transpose(1, 2) + qb @ kb.transpose(1, 2)) * scale
masked = scores.masked_fill(~visible, -1e9)
exps = masked.exp()
total = exps.sum(-1, keepdim=True)
attn = exps / total
mix = attn @ v
pred = mix @ Wo + bo
loss = ((pred - target) ** 2).mean()
