"""One head of attention with a packed bias.

Query and key share one matrix and one bias, as in GPT-2's c_attn.
"""

import torch

seed = 3
places, width = 5, 4

g = torch.Generator().manual_seed(seed)
x = torch.randn((places, width), generator=g)
W = torch.randn((width, 2 * width), generator=g).requires_grad_()
b = torch.randn((2 * width,), generator=g).requires_grad_()

qk = x @ W + b
scores = qk[:, :width] @ qk[:, width:].T / width**0.5
att = scores.softmax(1)
loss = ((att @ x) ** 2).mean()
