"""A mixture density network with one-dimensional targets."""

import math

import torch

seed = 23
batch, features, hidden, parts = 7, 3, 9, 4

g = torch.Generator().manual_seed(seed)
x = torch.randn((batch, features), generator=g)
y = 1.5 * torch.randn(batch, generator=g)
W1 = (0.5 * torch.randn((features, hidden), generator=g)).requires_grad_()
b1 = (0.2 * torch.randn(hidden, generator=g)).requires_grad_()
Wa = (0.4 * torch.randn((hidden, parts), generator=g)).requires_grad_()
ba = (0.2 * torch.randn(parts, generator=g)).requires_grad_()
Wm = (0.4 * torch.randn((hidden, parts), generator=g)).requires_grad_()
bm = (0.4 * torch.randn(parts, generator=g)).requires_grad_()
Ws = (0.3 * torch.randn((hidden, parts), generator=g)).requires_grad_()
bs = (0.2 * torch.randn(parts, generator=g)).requires_grad_()

z = x @ W1 + b1
h = torch.tanh(z)
alpha = h @ Wa + ba
logpi = torch.log_softmax(alpha, 1)
mu = h @ Wm + bm
s = h @ Ws + bs
diff = y[:, None] - mu
inv = torch.exp(-s)
r = diff * inv
logn = -0.5 * r**2 - s - 0.5 * math.log(2 * math.pi)
joint = logpi + logn
ll = torch.logsumexp(joint, 1)
loss = -ll.mean()
