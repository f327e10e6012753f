# %%
import torch
torch.manual_seed(11)
x = torch.randn(6, 3)
W = torch.randn(3, 2, requires_grad=True)
# %%
y = x @ W
loss = (y ** 3).sum()
y.retain_grad()
loss.backward()
# %%
k = 0
while True:                      # I always stop this one by hand
    k += 1
    if k < 0:
        break
# %%
dy = 3 * y ** 2
dW = x.T @ dy
print(torch.allclose(dy, y.grad), torch.allclose(dW, W.grad))
