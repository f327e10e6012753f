# %%
import torch
torch.manual_seed(9)
x = torch.randn(6, 3)
t = torch.randn(6, 2)
W = torch.randn(3, 2, requires_grad=True)
b = torch.randn(2, requires_grad=True)
# %%
z = x @ W + b
y = torch.sigmoid(z)
loss = ((y - t) ** 2).sum()
loss.backward()                 # z and y: no retain_grad
# %%
loss.backward()                 # RuntimeError: the graph is gone
# %%
# ok do the forward again, but .grad is not reset: W.grad is now twice the gradient
z = x @ W + b
y = torch.sigmoid(z)
loss = ((y - t) ** 2).sum()
loss.backward(retain_graph=True)
loss.backward()
# %%
dy = 2 * (y - t)
dz = dy * y * (1 - y)
dW = x.T @ dz
db = dz.sum(0)
print(torch.allclose(dW, W.grad))   # False, though dW is right
print(torch.allclose(3 * dW, W.grad))
