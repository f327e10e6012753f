# %%
import torch
from torch import sigmoid, tanh
torch.manual_seed(99)
nb, ni, nh = 5, 3, 4

# %% [markdown]
# LSTM cell. gates packed in one matrix like pytorch does it (order: i f g o)

# %%
x = torch.randn(nb, ni, requires_grad=True)
h0 = torch.randn(nb, nh, requires_grad=True)
c0 = torch.randn(nb, nh, requires_grad=True)
Wx = torch.randn(ni, 4 * nh, requires_grad=True)
Wh = torch.randn(nh, 4 * nh, requires_grad=True)
bias = torch.randn(4 * nh, requires_grad=True)
want = torch.randn(nb, nh)

gates = x @ Wx + h0 @ Wh + bias
gi, gf, gg, go = gates.chunk(4, 1)
i, f, g, o = sigmoid(gi), sigmoid(gf), tanh(gg), sigmoid(go)
c1 = f * c0 + i * g
tc = tanh(c1)
h1 = o * tc
loss = ((h1 - want) ** 2).mean() + 0.1 * c1.pow(2).sum()   # c1 goes on to the next step, so give it a gradient as well
[t.retain_grad() for t in (gates, i, f, g, o, c1, tc, h1)]
loss.backward()

# %%
dh1 = 2 * (h1 - want) / h1.numel()
do = dh1 * tc
dtc = dh1 * o
dc1 = dtc * (1 - tc ** 2)
dc1 = dc1 + 0.2 * c1
df = dc1 * c0
dc0 = dc1 * f
di = dc1 * g
dg = dc1 * i
dgates = torch.cat((di * i * (1 - i), df * f * (1 - f), dg * (1 - g ** 2), do * o * (1 - o)), 1)
dWx = x.T @ dgates
dWh = h0.T @ dgates
dbias = dgates.sum(0)
dx = dgates @ Wx.T
dh0 = dgates @ Wh.T

# %%
for mine, ref in [(dh1, h1), (do, o), (dtc, tc), (dc1, c1), (df, f), (dc0, c0), (di, i), (dg, g), (dgates, gates),
                  (dWx, Wx), (dWh, Wh), (dbias, bias), (dx, x), (dh0, h0)]:
    print((mine - ref.grad).abs().max().item())

# %% [markdown]
# and now the GRU (reset gate *before* the matrix product, as in the paper)

# %%
xg = torch.randn(nb, ni)
hp = torch.randn(nb, nh, requires_grad=True)
Wz, Wr, Wn = [torch.randn(ni + nh, nh, requires_grad=True) for _ in range(3)]
cat1 = torch.cat([xg, hp], dim=1)
z = sigmoid(cat1 @ Wz)
r = sigmoid(cat1 @ Wr)
rh = r * hp
cat2 = torch.cat([xg, rh], dim=1)
n = tanh(cat2 @ Wn)
hn = (1 - z) * n + z * hp
loss_gru = (hn * want).sum()
for t in (cat1, z, r, rh, cat2, n, hn):
    t.retain_grad()
loss_gru.backward()

# %%
dhn = want
dn = dhn * (1 - z)
dz = dhn * (hp - n)
dn_raw = dn * (1 - n * n)
dWn = cat2.T @ dn_raw
dcat2 = dn_raw @ Wn.T
drh = dcat2[:, ni:]
dr = drh * hp
dz_raw = dz * z * (1 - z)
dr_raw = dr * r * (1 - r)
dWz = cat1.T @ dz_raw
dWr = cat1.T @ dr_raw
dcat1 = dz_raw @ Wz.T + dr_raw @ Wr.T
dhp = dcat1[:, ni:] + drh * r + dhn * z

# %%
names = 'hn n z Wn cat2 rh r Wz Wr cat1 hp'.split()
ok = {name: torch.allclose(globals()['d' + name], globals()[name].grad, atol=1e-5) for name in names}
print(ok)
assert all(ok.values())
