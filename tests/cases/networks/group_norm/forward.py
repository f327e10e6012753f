"""Convolution, group norm in steps, pooling, cross-entropy with label smoothing."""

import torch
import torch.nn.functional as F

seed = 37
batch, colours, height, width, kernel = 7, 5, 11, 12, 3
channels, groups, classes = 8, 4, 6
each = channels // groups
rows, cols = height - kernel + 1, width - kernel + 1
area = rows * cols
n = each * area
small, smooth = 1e-5, 0.15

g = torch.Generator().manual_seed(seed)
x = torch.randn((batch, colours, height, width), generator=g)
labels = torch.randint(0, classes, (batch,), generator=g)
K = (0.3 * torch.randn((channels, colours, kernel, kernel), generator=g)).requires_grad_()
gain = (1 + 0.3 * torch.randn(channels, generator=g)).requires_grad_()
shift = (0.3 * torch.randn(channels, generator=g)).requires_grad_()
W = torch.randn((channels, classes), generator=g).requires_grad_()
b = (0.2 * torch.randn(classes, generator=g)).requires_grad_()

conv = F.conv2d(x, K)
grp = conv.view(batch, groups, n)
mean = grp.mean(2, keepdim=True)
cen = grp - mean
var = (cen**2).mean(2, keepdim=True)
rstd = torch.rsqrt(var + small)
hat = cen * rstd
norm = hat.view(batch, channels, rows, cols)
pre = norm * gain[:, None, None] + shift[:, None, None]
act = torch.relu(pre)
pool = act.mean((2, 3))
logits = pool @ W + b
logp = torch.log_softmax(logits, 1)
hit = logp[torch.arange(batch), labels]
flat = logp.mean(1)
loss = -((1 - smooth) * hit + smooth * flat).mean()
