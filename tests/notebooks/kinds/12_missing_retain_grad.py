# %%
import torch
torch.manual_seed(10)
x = torch.randn(6, 3)
t = torch.randn(6, 2)
W = torch.randn(3, 2, requires_grad=True)
b = torch.randn(2, requires_grad=True)
# %%
z = x @ W + b
y = torch.tanh(z)
diff = y - t
loss = (diff ** 2).mean()
loss.backward()
# %%
def cmp(s, d, t):
    print(s, torch.all(d == t.grad).item(), (d - t.grad).abs().max().item())
# %%
ddiff = 2 * diff / diff.numel()
cmp('diff', ddiff, diff)        # TypeError: t.grad is None
dy = ddiff.clone()
cmp('y', dy, y)
dz = dy * (1 - y)               # wrong: the square is missing
cmp('z', dz, z)
# %%
dW = x.T @ dz
db = dz.sum(0)
cmp('W', dW, W)
cmp('b', db, b)
