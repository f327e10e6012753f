"""RMSNorm, SwiGLU and a residual.

The feed-forward half of a LLaMA block.
"""

import torch

seed = 13
rows, width, hidden = 5, 6, 8
eps = 1e-5

g = torch.Generator().manual_seed(seed)
x = torch.randn((rows, width), generator=g).requires_grad_()
target = torch.randn((rows, width), generator=g)
gain = (1 + 0.3 * torch.randn((width,), generator=g)).requires_grad_()
Wg = (torch.randn((width, hidden), generator=g) / width**0.5).requires_grad_()
Wu = (torch.randn((width, hidden), generator=g) / width**0.5).requires_grad_()
Wd = (torch.randn((hidden, width), generator=g) / hidden**0.5).requires_grad_()

ms = (x**2).mean(-1, keepdim=True)
rms_inv = torch.rsqrt(ms + eps)
xhat = x * rms_inv
normed = xhat * gain
gate = normed @ Wg
sig = torch.sigmoid(gate)
silu = gate * sig
up = normed @ Wu
prod = silu * up
out = x + prod @ Wd
loss = ((out - target) ** 2).mean()
