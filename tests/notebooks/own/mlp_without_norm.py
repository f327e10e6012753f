# %% [markdown]
# two layer net, no batchnorm. just want to see the chain rule work

# %%
# !pip install torch matplotlib
import torch
import torch.nn.functional as F
import matplotlib.pyplot as plt
# %matplotlib inline

# %%
g = torch.Generator().manual_seed(42)
m, n_in, n_h, n_out = 12, 4, 7, 3
x = torch.randn(m, n_in, generator=g)
y = torch.randint(0, n_out, (m,), generator=g)
y_onehot = F.one_hot(y, num_classes=n_out).float()
plt.scatter(x[:, 0], x[:, 1], c=y);

# %%
W1 = torch.randn(n_in, n_h, generator=g) * 0.7
b1 = torch.randn(n_h, generator=g) * 0.1
W2 = torch.randn(n_h, n_out, generator=g) * 0.7
b2 = torch.randn(n_out, generator=g) * 0.1
for p in (W1, b1, W2, b2):
    p.requires_grad = True

# %%
z1 = x @ W1 + b1
a1 = torch.relu(z1)
z2 = a1 @ W2 + b2
a2 = torch.softmax(z2, dim=1)
loss = -(y_onehot * torch.log(a2)).sum() / m
for t in (z1, a1, z2, a2):
    t.retain_grad()
loss.backward()
print(loss.item())

# %%
# how many relus are off?
(z1 <= 0).float().mean()

# %%
da2 = -y_onehot / a2 / m
dz2 = a2 * (da2 - (da2 * a2).sum(1, keepdim=True))
dW2 = a1.T @ dz2
db2 = dz2.sum(0)
da1 = dz2 @ W2.T
dz1 = da1 * (z1 > 0)
dW1 = x.T @ dz1
db1 = torch.sum(dz1, axis=0)

# %%
print('a2', torch.allclose(da2, a2.grad))
print('z2', torch.allclose(dz2, z2.grad, atol=1e-6))
print('W2', torch.allclose(dW2, W2.grad, atol=1e-6))
print('b2', torch.allclose(db2, b2.grad, atol=1e-6))
print('a1', torch.allclose(da1, a1.grad, atol=1e-6))
print('z1', torch.allclose(dz1, z1.grad, atol=1e-6))
print('W1', torch.allclose(dW1, W1.grad, atol=1e-6))
print('b1', torch.allclose(db1, b1.grad, atol=1e-6))

# %%
# one step of gradient descent, loss should go down
with torch.no_grad():
    lr = 0.5
    W1 -= lr * dW1; b1 -= lr * db1
    W2 -= lr * dW2; b2 -= lr * db2
    new = F.cross_entropy(torch.relu(x @ W1 + b1) @ W2 + b2, y)
print(new.item(), '<', loss.item(), '?')

# %%
plt.figure()
plt.imshow(dW1.detach(), cmap='gray')
