"""A GPT-2 block, from the tokens to the loss.

Layer norm, causal attention, an MLP with GELU, residuals, and an embedding that is used twice.
"""

import math

import torch

seed = 1
batch, T, vocab, C, heads = 2, 4, 7, 8, 2
eps = 1e-5

hs = C // heads
g = torch.Generator().manual_seed(seed)
idx = torch.randint(0, vocab, (batch, T), generator=g)
tgt = torch.randint(0, vocab, (batch, T), generator=g)
causal = torch.ones(T, T).tril().bool()
wte = torch.randn((vocab, C), generator=g).requires_grad_()
wpe = (torch.randn((T, C), generator=g) * 0.5).requires_grad_()
g1 = (1 + 0.2 * torch.randn(C, generator=g)).requires_grad_()
b1 = (0.2 * torch.randn(C, generator=g)).requires_grad_()
Wqkv = (torch.randn((C, 3 * C), generator=g) / C**0.5).requires_grad_()
bqkv = (0.1 * torch.randn(3 * C, generator=g)).requires_grad_()
Wo = (torch.randn((C, C), generator=g) / C**0.5).requires_grad_()
bo = (0.1 * torch.randn(C, generator=g)).requires_grad_()
g2 = (1 + 0.2 * torch.randn(C, generator=g)).requires_grad_()
b2 = (0.2 * torch.randn(C, generator=g)).requires_grad_()
W1 = (torch.randn((C, 4 * C), generator=g) / C**0.5).requires_grad_()
bm1 = (0.1 * torch.randn(4 * C, generator=g)).requires_grad_()
W2 = (torch.randn((4 * C, C), generator=g) / (4 * C) ** 0.5).requires_grad_()
bm2 = (0.1 * torch.randn(C, generator=g)).requires_grad_()
g3 = (1 + 0.2 * torch.randn(C, generator=g)).requires_grad_()
b3 = (0.2 * torch.randn(C, generator=g)).requires_grad_()

# embedding
emb = wte[idx] + wpe
# attention
mean1 = emb.mean(-1, keepdim=True)
cen1 = emb - mean1
inv1 = ((cen1**2).mean(-1, keepdim=True) + eps) ** -0.5
hat1 = cen1 * inv1
ln1 = hat1 * g1 + b1
qkv = ln1 @ Wqkv + bqkv
q, k, v = (t.view(batch, T, heads, hs).transpose(1, 2) for t in qkv.split(C, -1))
scores = q @ k.transpose(-2, -1) / math.sqrt(hs)
att = scores.masked_fill(~causal, float("-inf")).softmax(-1)
mix = att @ v
cat = mix.transpose(1, 2).reshape(batch, T, C)
res1 = emb + cat @ Wo + bo
# MLP
mean2 = res1.mean(-1, keepdim=True)
cen2 = res1 - mean2
inv2 = ((cen2**2).mean(-1, keepdim=True) + eps) ** -0.5
hat2 = cen2 * inv2
ln2 = hat2 * g2 + b2
pre = ln2 @ W1 + bm1
act = torch.nn.functional.gelu(pre)
res2 = res1 + act @ W2 + bm2
# unembedding
ln3 = torch.nn.functional.layer_norm(res2, (C,), g3, b3, eps)
logits = ln3 @ wte.T
loss = torch.nn.functional.cross_entropy(logits.view(-1, vocab), tgt.view(-1))
