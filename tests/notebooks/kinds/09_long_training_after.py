# %%
import torch, torch.nn.functional as F
torch.manual_seed(7)
X, Y = torch.randn(64, 4), torch.randint(0, 3, (64,))
W = torch.randn(4, 3, requires_grad=True)
b = torch.zeros(3, requires_grad=True)
# %%
logits = X @ W + b
loss = F.cross_entropy(logits, Y)
logits.retain_grad()
loss.backward()
# %%
dlogits = F.softmax(logits, 1)
dlogits[range(64), Y] -= 1
dlogits /= 64
dW = X.T @ dlogits
db = dlogits.sum(0)
print(torch.allclose(dlogits, logits.grad), torch.allclose(dW, W.grad, atol=1e-6), torch.allclose(db, b.grad, atol=1e-6))
# %%
with torch.no_grad():
    for i in range(200000):
        ix = torch.randint(0, 64, (16,))
        Xb, Yb = X[ix], Y[ix]
        logits = Xb @ W + b
        loss = F.cross_entropy(logits, Yb)
        dlogits = F.softmax(logits, 1)
        dlogits[range(16), Yb] -= 1
        dlogits /= 16
        dW, db = Xb.T @ dlogits, dlogits.sum(0)
        W -= 0.1 * dW
        b -= 0.1 * db
        if i % 10000 == 0:
            print(i, loss.item())
