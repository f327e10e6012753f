# %%
import torch
torch.manual_seed(13)
x = torch.randn(6, 3)
W1 = torch.randn(3, 4, requires_grad=True)
b1 = torch.randn(4, requires_grad=True)
W2 = torch.randn(4, 2, requires_grad=True)
# %%
z = x @ W1 + b1
h = torch.relu(z)
y = h @ W2
loss = y.pow(2).mean()
for t in (z, h, y): t.retain_grad()
loss.backward()
# %%
dy = 2 * y / y.numel()
dW2 = h.T @ dy
dh = W2 @ dy.T                   # wrong: transposed (4, 6)
dz = dh * (z > 0)                # RuntimeError: shapes do not fit
dW1 = x.T @ dz
db1 = dz.sum(0)
