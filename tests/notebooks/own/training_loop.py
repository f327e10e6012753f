# %% [markdown]
# # Train it with my own gradients

# %%
import torch
import torch.nn.functional as F
from time import time

# %%
gen = torch.Generator().manual_seed(8)
Xtr = torch.randn(64, 4, generator=gen)
Ytr = (Xtr @ torch.randn(4, 3, generator=gen)).argmax(1)
W1 = torch.randn(4, 8, generator=gen) * 0.5
b1 = torch.randn(8, generator=gen) * 0.1
W2 = torch.randn(8, 3, generator=gen) * 0.5
b2 = torch.randn(3, generator=gen) * 0.1
parameters = [W1, b1, W2, b2]
for p in parameters:
    p.requires_grad = True

def cmp(s, dt, t):
    ex = torch.all(dt == t.grad).item()
    app = torch.allclose(dt, t.grad)
    maxdiff = (dt - t.grad).abs().max().item()
    print(s, '| exact:', ex, '| approximate:', app, '| maxdiff:', maxdiff)

# %%
lossi = []
bsz = 16
start = time()
for i in range(200):
    # minibatch
    ix = torch.randint(0, Xtr.shape[0], (bsz,), generator=gen)
    Xb, Yb = Xtr[ix], Ytr[ix]

    # forward
    hpre = Xb @ W1 + b1
    h = F.silu(hpre)
    logits = h @ W2 + b2
    loss = F.cross_entropy(logits, Yb)

    # backward by torch, to compare
    for p in parameters:
        p.grad = None
    for t in (hpre, h, logits):
        t.retain_grad()
    loss.backward()

    # backward by me
    dlogits = F.softmax(logits, 1)
    dlogits[range(bsz), Yb] -= 1
    dlogits /= bsz
    dh = dlogits @ W2.T
    dW2 = h.T @ dlogits
    db2 = dlogits.sum(0)
    sg = torch.sigmoid(hpre)
    dhpre = dh * (sg + hpre * sg * (1 - sg))
    dW1 = Xb.T @ dhpre
    db1 = dhpre.sum(0)
    grads = [dW1, db1, dW2, db2]

    if i == 0:
        cmp('logits', dlogits, logits)
        cmp('h', dh, h)
        cmp('hpre', dhpre, hpre)
        for p, gr in zip(parameters, grads):
            cmp(str(tuple(p.shape)), gr, p)

    # update
    lr = 0.3 if i < 150 else 0.03
    for p, gr in zip(parameters, grads):
        p.data += -lr * gr

    if i % 50 == 0:
        print(f'{i:4d} {loss.item():.4f}')
    lossi.append(loss.log10().item())
print('took', round(time() - start, 2), 's')

# %%
with torch.no_grad():
    pred = (F.silu(Xtr @ W1 + b1) @ W2 + b2).argmax(1)
print('train accuracy', (pred == Ytr).float().mean().item())
