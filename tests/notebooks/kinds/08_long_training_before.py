# %%
import torch, torch.nn.functional as F
torch.manual_seed(6)
X, Y = torch.randn(64, 4), torch.randint(0, 3, (64,))
W = torch.randn(4, 3, requires_grad=True)
b = torch.zeros(3, requires_grad=True)
# %%
losses = []
for i in range(200000):
    loss = F.cross_entropy(X @ W + b, Y)
    W.grad = b.grad = None
    loss.backward()
    for p in (W, b):
        p.data += -0.01 * p.grad
    losses.append(loss.item())
print(losses[-1])
# %%
logits = X @ W + b
probs = F.softmax(logits, 1)
loss = -probs[range(64), Y].log().mean()
W.grad = b.grad = None
logits.retain_grad(); probs.retain_grad()
loss.backward()
# %%
dprobs = torch.zeros_like(probs)
dprobs[range(64), Y] = -1 / probs[range(64), Y] / 64
dlogits = probs * (dprobs - (probs * dprobs).sum(1, keepdim=True))
dW = X.T @ dlogits
db = dlogits.sum(1)          # wrong: along the wrong dimension
for n, d, t in (('probs', dprobs, probs), ('logits', dlogits, logits), ('W', dW, W)):
    print(n, torch.allclose(d, t.grad, atol=1e-6))
