# %%
import torch, torch.nn.functional as F
torch.manual_seed(7)
N, D, H, K = 9, 3, 5, 4
X = torch.randn(N, D); Y = torch.randint(K, (N,))
A = torch.randn(D, H, requires_grad=True); a = torch.randn(H, requires_grad=True)
Bm = torch.randn(H, H, requires_grad=True); b = torch.randn(H, requires_grad=True)
Cm = torch.randn(H, K, requires_grad=True)
# forward
u = X @ A + a
p = u.tanh()
v = p @ Bm + b
q = v.tanh()
r = p + q          # skip connection
s = r @ Cm
e = s.exp()
Z = e.sum(1, keepdims=True)
pr = e / Z
L = -pr[range(N), Y].log().mean()
for t in [u, p, v, q, r, s, e, Z, pr]: t.retain_grad()
L.backward()
# backward
dpr = torch.zeros_like(pr)
dpr[range(N), Y] = -1 / pr[range(N), Y] / N
de = dpr / Z
dZ = (-dpr * e / Z**2).sum(1, keepdims=True)
de = de + dZ
ds = de * e
dr = ds @ Cm.T
dCm = r.T @ ds
dq = dr.clone()
dv = dq * (1 - q**2)
dBm = p.T @ dv
db = dv.sum(0)
dp = dr + dv @ Bm.T
du = dp * (1 - p**2)
dA = X.T @ du
da = du.sum(0)
print([(mine - t.grad).abs().max().item() < 1e-5 for mine, t in
       [(dpr, pr), (de, e), (dZ, Z), (ds, s), (dr, r), (dCm, Cm), (dq, q), (dv, v), (dBm, Bm), (db, b), (dp, p), (du, u), (dA, A), (da, a)]])
