# %%
import numpy as np
import torch

np.random.seed(0)
torch.manual_seed(0)

# %% [markdown]
# I think better in numpy, so: forward in torch, gradients in numpy, compare with np.allclose

# %%
X = torch.tensor(np.random.randn(10, 5), dtype=torch.float32)
Y = torch.tensor(np.random.randint(0, 4, size=10))
w1 = torch.randn(5, 6, requires_grad=True)
b1 = torch.randn(6, requires_grad=True)
w2 = torch.randn(6, 4, requires_grad=True)
b2 = torch.randn(4, requires_grad=True)

pre = X @ w1 + b1
act = torch.sigmoid(pre)
out = act @ w2 + b2
logp = torch.log_softmax(out, dim=1)
loss = -logp[torch.arange(10), Y].mean()
pre.retain_grad(), act.retain_grad(), out.retain_grad(), logp.retain_grad()
loss.backward()

# %%
def to_np(t):
    return t.detach().cpu().numpy()

X_, Y_, w1_, w2_ = to_np(X), to_np(Y), to_np(w1), to_np(w2)
act_, logp_ = to_np(act), to_np(logp)

# %%
dlogp = np.zeros((10, 4), dtype=np.float32)
dlogp[np.arange(10), Y_] = -1.0 / 10
print('dlogp', np.allclose(dlogp, logp.grad.numpy()))

dout = dlogp - np.exp(logp_) * dlogp.sum(axis=1, keepdims=True)
print('dout', np.allclose(dout, out.grad.numpy(), atol=1e-6))

# %%
dw2 = act_.T.dot(dout)
db2 = dout.sum(axis=0)
dact = dout.dot(w2_.T)
dpre = dact * act_ * (1 - act_)
dw1 = np.matmul(X_.T, dpre)
db1 = np.sum(dpre, axis=0)
for name, mine, theirs in [('w2', dw2, w2), ('b2', db2, b2), ('act', dact, act), ('pre', dpre, pre), ('w1', dw1, w1), ('b1', db1, b1)]:
    print(name, np.allclose(mine, theirs.grad.numpy(), atol=1e-6), np.abs(mine - theirs.grad.numpy()).max())

# %%
assert np.allclose(dw1, w1.grad.numpy(), atol=1e-5)
type(dw1), dw1.dtype
