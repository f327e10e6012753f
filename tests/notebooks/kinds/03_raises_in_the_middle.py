# %%
import torch
torch.manual_seed(2)
X, Y = torch.randn(8, 4), torch.randint(0, 3, (8,))
W = torch.randn(4, 5, requires_grad=True)
b = torch.randn(5, requires_grad=True)
V = torch.randn(5, 3, requires_grad=True)
# %%
pre = X @ W + b
h = torch.tanh(pre)
logits = h @ V
loss = torch.nn.functional.cross_entropy(logits, Y)
for t in (pre, h, logits): t.retain_grad()
loss.backward()
# %%
dlogits = logits.softmax(1)
dlogits[range(8), Y] -= 1
dlogits /= 8
print(dlogits.gard)          # AttributeError: a slip of the pen
dV = h.T @ dlogits
# %%
print(dlogitz.shape)         # NameError
dh = dlogits @ V.T
# %%
plt.imshow(dlogits.detach()) # NameError: plt was never imported
# %%
dV = h.T @ dlogits
dh = dlogits @ V.T
dpre = (1 - h ** 2) * dh
dW = X.T @ dpre
db = dpre.sum(0)
print(torch.allclose(dW, W.grad, atol=1e-6), torch.allclose(db, b.grad, atol=1e-6))
