# %%
import numpy as np
rng = np.random.default_rng(4)
X, Y = rng.normal(size=(8, 4)), rng.integers(0, 3, 8)
W, b = rng.normal(size=(4, 3)), np.zeros(3)
# %%
logits = X @ W + b
e = np.exp(logits - logits.max(1, keepdims=True))
probs = e / e.sum(1, keepdims=True)
loss = -np.log(probs[np.arange(8), Y]).mean()
# %%
dlogits = probs.copy()
dlogits[np.arange(8), Y] -= 1
dlogits /= 8
dW = X.T @ dlogits
db = dlogits.sum(0)
# %%
Wp = W.copy(); Wp[0, 0] += 1e-5
lp = X @ Wp + b
lp = -(lp[np.arange(8), Y] - np.log(np.exp(lp).sum(1))).mean()
print((lp - loss) / 1e-5, dW[0, 0])
