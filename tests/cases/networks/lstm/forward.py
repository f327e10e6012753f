"""Three steps of an LSTM cell."""

import torch

seed = 5
batch, width, hidden = 4, 3, 5

g = torch.Generator().manual_seed(seed)
x1, x2, x3 = torch.randn((3, batch, width), generator=g)
h0, c0 = torch.randn((2, batch, hidden), generator=g)
Wx = (0.4 * torch.randn((width, 4 * hidden), generator=g)).requires_grad_()
Wh = (0.4 * torch.randn((hidden, 4 * hidden), generator=g)).requires_grad_()
b = (0.1 * torch.randn(4 * hidden, generator=g)).requires_grad_()
V = torch.randn((hidden, 2), generator=g).requires_grad_()

z1 = x1 @ Wx + h0 @ Wh + b
i1 = torch.sigmoid(z1[:, :hidden])
f1 = torch.sigmoid(z1[:, hidden : 2 * hidden])
o1 = torch.sigmoid(z1[:, 2 * hidden : 3 * hidden])
u1 = torch.tanh(z1[:, 3 * hidden :])
c1 = f1 * c0 + i1 * u1
s1 = torch.tanh(c1)
h1 = o1 * s1
z2 = x2 @ Wx + h1 @ Wh + b
i2 = torch.sigmoid(z2[:, :hidden])
f2 = torch.sigmoid(z2[:, hidden : 2 * hidden])
o2 = torch.sigmoid(z2[:, 2 * hidden : 3 * hidden])
u2 = torch.tanh(z2[:, 3 * hidden :])
c2 = f2 * c1 + i2 * u2
s2 = torch.tanh(c2)
h2 = o2 * s2
z3 = x3 @ Wx + h2 @ Wh + b
i3 = torch.sigmoid(z3[:, :hidden])
f3 = torch.sigmoid(z3[:, hidden : 2 * hidden])
o3 = torch.sigmoid(z3[:, 2 * hidden : 3 * hidden])
u3 = torch.tanh(z3[:, 3 * hidden :])
c3 = f3 * c2 + i3 * u3
s3 = torch.tanh(c3)
h3 = o3 * s3
logits = h3 @ V
loss = (logits**2).mean()
