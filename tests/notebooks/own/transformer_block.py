# %% [markdown]
# # One GPT block, backward by hand
# After the MLP I wanted to see whether I can do attention as well. Heads, layernorm, residual stream, gelu.

# %%
import math
import torch
import torch.nn.functional as F

torch.manual_seed(1337)
B, T, C, nh = 2, 5, 8, 2
hs = C // nh
V = 11
eps = 1e-5

# %%
def p(*shape, scale=0.4):
    return (torch.randn(*shape) * scale).requires_grad_()

x = p(B, T, C, scale=1.0)  # pretend these are the embeddings
targets = torch.randint(V, (B, T))
ln1_g, ln1_b = p(C, scale=1.0), p(C)
Wqkv, bqkv = p(C, 3 * C), p(3 * C)
Wo, bo = p(C, C), p(C)
ln2_g, ln2_b = p(C, scale=1.0), p(C)
W1, b1 = p(C, 4 * C), p(4 * C)
W2, b2 = p(4 * C, C), p(C)
lm_head = p(C, V)
tril = torch.tril(torch.ones(T, T)).bool()

# %%
# forward
mu = x.mean(-1, keepdim=True)
xc = x - mu
var = (xc ** 2).mean(-1, keepdim=True)
rstd = (var + eps) ** -0.5
xhat = xc * rstd
ln1 = xhat * ln1_g + ln1_b
# attention
qkv = ln1 @ Wqkv + bqkv
q, k, v = qkv.split(C, dim=2)
qh = q.view(B, T, nh, hs).transpose(1, 2)  # (B, nh, T, hs)
kh = k.view(B, T, nh, hs).transpose(1, 2)
vh = v.view(B, T, nh, hs).transpose(1, 2)
att = qh @ kh.transpose(-2, -1) / math.sqrt(hs)
masked = att.masked_fill(~tril, float('-inf'))
wei = F.softmax(masked, dim=-1)
yh = wei @ vh
y = yh.transpose(1, 2).contiguous().view(B, T, C)
proj = y @ Wo + bo
x1 = x + proj
# mlp
ln2 = F.layer_norm(x1, (C,), ln2_g, ln2_b, eps)
h = ln2 @ W1 + b1
a = F.gelu(h)
x2 = x1 + a @ W2 + b2
logits = x2 @ lm_head
loss = F.cross_entropy(logits.view(-1, V), targets.view(-1))

for t in [mu, xc, var, rstd, xhat, ln1, qkv, q, k, v, qh, kh, vh, att, masked, wei, yh, y, proj, x1, ln2, h, a, x2, logits]:
    t.retain_grad()
loss.backward()
loss

# %%
def check(name, mine, t):
    diff = (mine - t.grad).abs().max().item()
    print(f'{name:8s} {tuple(t.shape)!s:16s} {diff:.2e}', 'OK' if diff < 1e-5 else '   <-------')

# %%
# head and mlp
dlogits = F.softmax(logits, -1)
dlogits = dlogits - F.one_hot(targets, V)
dlogits /= B * T
dlm_head = x2.reshape(-1, C).T @ dlogits.reshape(-1, V)
dx2 = dlogits @ lm_head.T
da = dx2 @ W2.T
dW2 = a.view(-1, 4 * C).T @ dx2.view(-1, C)
db2 = dx2.sum((0, 1))
cdf = 0.5 * (1 + torch.erf(h / math.sqrt(2)))
pdf = torch.exp(-0.5 * h * h) / math.sqrt(2 * math.pi)
dh = da * (cdf + h * pdf)
dW1 = torch.einsum('btc,btd->cd', ln2, dh)
db1 = dh.sum((0, 1))
dln2 = dh @ W1.T
for n, g, t in [('logits', dlogits, logits), ('lm_head', dlm_head, lm_head), ('x2', dx2, x2), ('a', da, a), ('W2', dW2, W2),
                ('b2', db2, b2), ('h', dh, h), ('W1', dW1, W1), ('b1', db1, b1), ('ln2', dln2, ln2)]:
    check(n, g, t)

# %%
# layernorm 2 in one go (derived it on paper)
xm = x1 - x1.mean(-1, keepdim=True)
inv = 1 / torch.sqrt(x1.var(-1, keepdim=True, unbiased=False) + eps)
n2 = xm * inv
dln2_g = (dln2 * n2).sum((0, 1))
dln2_b = dln2.sum((0, 1))
dn = dln2 * ln2_g
dx1 = inv * (dn - dn.mean(-1, keepdim=True) - n2 * (dn * n2).mean(-1, keepdim=True))
dx1 = dx1 + dx2  # the residual
check('ln2_g', dln2_g, ln2_g); check('ln2_b', dln2_b, ln2_b); check('x1', dx1, x1)

# %%
# attention
dproj = dx1.clone()
dWo = y.view(-1, C).T @ dproj.view(-1, C)
dbo = dproj.sum((0, 1))
dy = dproj @ Wo.T
dyh = dy.view(B, T, nh, hs).transpose(1, 2)
dwei = dyh @ vh.transpose(-2, -1)
dvh = wei.transpose(-2, -1) @ dyh
dmasked = wei * (dwei - (dwei * wei).sum(-1, keepdim=True))
datt = dmasked.masked_fill(~tril, 0)
dqh = datt @ kh / math.sqrt(hs)
dkh = datt.transpose(-2, -1) @ qh / math.sqrt(hs)
dq = dqh.transpose(1, 2).reshape(B, T, C)
dk = dkh.transpose(1, 2).reshape(B, T, C)
dv = dvh.transpose(1, 2).reshape(B, T, C)
dqkv = torch.cat([dq, dk, dv], dim=-1)
dWqkv = torch.einsum('btc,btd->cd', ln1, dqkv)
dbqkv = dqkv.sum(dim=(0, 1))
dln1 = dqkv @ Wqkv.T
for n in 'proj Wo bo y yh wei vh masked att qh kh q k v qkv Wqkv bqkv ln1'.split():
    check(n, globals()['d' + n], globals()[n])

# %%
# layernorm 1 step by step
dln1_g = (dln1 * xhat).sum((0, 1))
dln1_b = dln1.sum((0, 1))
dxhat = dln1 * ln1_g
drstd = (dxhat * xc).sum(-1, keepdim=True)
dvar = -0.5 * (var + eps) ** -1.5 * drstd
dxc = dxhat * rstd
dxc += 2 * xc / C * dvar
dmu = -dxc.sum(-1, keepdim=True)
dx = dx1 + dxc + dmu / C
for n in 'ln1_g ln1_b xhat rstd var xc mu x'.split():
    check(n, globals()['d' + n], globals()[n])
