# %%
import torch
import torch.nn.functional as F
import matplotlib.pyplot as plt

torch.manual_seed(77)
n, c = 8, 5
X = torch.randn(n, 6)
t = torch.randint(0, c, (n,))
W = torch.randn(6, 10, requires_grad=True)
b = torch.randn(10, requires_grad=True)
V = torch.randn(10, c, requires_grad=True)

# %%
pre = X @ W + b
h = torch.tanh(pre)
logits = h @ V
counts = logits.exp()
counts_sum = counts.sum(1, keepdim=True)
probs = counts / counts_sum
logprobs = probs.log()
loss = -logprobs[range(n), t].mean()
for q in [pre, h, logits, counts, counts_sum, probs, logprobs]:
    q.retain_grad()
loss.backward()

# %%
def test(a, b_):
    return torch.allclose(a, b_.grad, atol=1e-6)

# %% [markdown]
# first try

# %%
# no idea, just playing
dlogprobs = -torch.ones_like(logprobs) / n
dprobs = 1 / probs
dcounts = dprobs * counts_sum
dlogits = dcounts
print(test(dlogprobs, logprobs), test(dprobs, probs), test(dcounts, counts))

# %%
probs.shape, counts_sum.shape

# %%
dh = dlogits @ V.T   # will be wrong, since dlogits is
test(dh, h)

# %% [markdown]
# ok slowly now. **only the picked entries matter**

# %%
dlogprobs = torch.zeros_like(logprobs)
dlogprobs[range(n), t] = -1 / n
print(test(dlogprobs, logprobs))

# %%
dprobs = dlogprobs / probs
print(test(dprobs, probs))

# %%
dcounts = dprobs / counts_sum
dcounts_sum = -(dprobs * counts).sum(1, keepdim=True) / counts_sum ** 2
print(test(dcounts, counts))  # False??
dcounts = dcounts + dcounts_sum  # ah, counts is used twice
print(test(dcounts, counts), test(dcounts_sum, counts_sum))

# %%
dlogits = dcounts * counts
print(test(dlogits, logits))
dV = h.T @ dlogits
dh = dlogits @ V.T
print(test(dV, V), test(dh, h))

# %%
dpre = dh - dh * h ** 2
dW = X.T @ dpre
db = dpre.sum(0)
print(test(dpre, pre), test(dW, W), test(db, b))

# %% [markdown]
# now everything at once: the exercise says that $dlogits = (p - y)/n$. Same names!

# %%
dlogits = F.softmax(logits, 1)
dlogits[range(n), t] -= 1
dlogits /= n
print(test(dlogits, logits))
plt.imshow(dlogits.detach())

# %%
dh = dlogits @ V.T
dpre = dh * (1 - h * h)
dV, dW, db = h.T @ dlogits, X.T @ dpre, dpre.sum(0)
for mine, theirs in ((dV, V), (dh, h), (dpre, pre), (dW, W), (db, b)):
    print(test(mine, theirs))
