"""Additive (Bahdanau) attention over encoded states, context and query classified together."""

import torch
import torch.nn.functional as F

seed = 41
batch, steps, inputs, width, qwidth, attn, classes = 5, 6, 3, 4, 2, 7, 8

g = torch.Generator().manual_seed(seed)
x = torch.randn((batch, steps, inputs), generator=g)
q = torch.randn((batch, qwidth), generator=g)
y = torch.randint(classes, (batch,), generator=g)
We = (0.6 * torch.randn((inputs, width), generator=g)).requires_grad_()
Wk = (0.5 * torch.randn((width, attn), generator=g)).requires_grad_()
Wq = (0.5 * torch.randn((qwidth, attn), generator=g)).requires_grad_()
v = (0.7 * torch.randn(attn, generator=g)).requires_grad_()
Wo = (0.4 * torch.randn((width + attn, classes), generator=g)).requires_grad_()
bo = (0.2 * torch.randn(classes, generator=g)).requires_grad_()

states = torch.tanh(x @ We)
keys = states @ Wk
query = q @ Wq
act = torch.tanh(keys + query[:, None])
scores = act @ v
alpha = F.softmax(scores, dim=1)
context = (alpha[:, :, None] * states).sum(1)
joined = torch.cat((context, query), 1)
logits = joined @ Wo + bo
logp = F.log_softmax(logits, dim=1)
picked = logp[torch.arange(batch), y]
loss = -picked.mean()
