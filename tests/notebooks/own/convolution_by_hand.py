# %% [markdown]
# conv -> relu -> maxpool -> linear, with im2col. Tiny images (6x6) so it is fast

# %%
import torch
import torch.nn.functional as F
import matplotlib.pyplot as plt

torch.manual_seed(0)
N, Cin, S, Cout, K, classes = 3, 2, 6, 4, 3, 5
imgs = torch.randn(N, Cin, S, S).requires_grad_()
labels = torch.randint(0, classes, (N,))
kernel = torch.randn(Cout, Cin, K, K) * 0.5
kbias = torch.randn(Cout) * 0.5
O = S - K + 1
fcw = torch.randn(Cout * (O // 2) ** 2, classes) * 0.3
fcb = torch.zeros(classes)
for p in [kernel, kbias, fcw, fcb]:
    p.requires_grad_()

# %%
def im2col(t):
    patches = []
    for i in range(O):
        for j in range(O):
            patches.append(t[:, :, i:i + K, j:j + K].reshape(N, -1))
    return torch.stack(patches, dim=1)   # N, O*O, Cin*K*K

cols = im2col(imgs)
conv = cols @ kernel.view(Cout, -1).T + kbias
fmap = conv.permute(0, 2, 1).reshape(N, Cout, O, O)
act = F.relu(fmap)
windows = act.view(N, Cout, O // 2, 2, O // 2, 2).permute(0, 1, 2, 4, 3, 5).reshape(N, Cout, O // 2, O // 2, 4)
pooled, where = windows.max(dim=-1)
vec = pooled.flatten(1)
out = vec @ fcw + fcb
loss = F.cross_entropy(out, labels)
for t in (cols, conv, fmap, act, windows, pooled, vec, out):
    t.retain_grad()
loss.backward()

# %%
# is my convolution really a convolution?
print(torch.allclose(fmap, F.conv2d(imgs, kernel, kbias), atol=1e-5))
print(torch.allclose(pooled, F.max_pool2d(act, 2)))
plt.matshow(fmap[0, 0].detach())
plt.show()

# %%
dout = (F.softmax(out, dim=1) - F.one_hot(labels, classes)) / N
dfcw = vec.t() @ dout
dfcb = dout.sum(dim=0)
dvec = dout @ fcw.t()
dpooled = dvec.view_as(pooled)
dwindows = torch.zeros_like(windows)
dwindows.scatter_(-1, where.unsqueeze(-1), dpooled.unsqueeze(-1))
dact = dwindows.view(N, Cout, O // 2, O // 2, 2, 2).permute(0, 1, 2, 4, 3, 5).reshape(N, Cout, O, O)
dfmap = dact.clone()
dfmap[fmap < 0] = 0

# %%
dconv = dfmap.reshape(N, Cout, O * O).permute(0, 2, 1)
dkernel = torch.einsum('npo,npk->ok', dconv, cols).view_as(kernel)
dkbias = dconv.sum(dim=(0, 1))
dcols = dconv @ kernel.view(Cout, -1)
dimgs = torch.zeros_like(imgs)
n = 0
for i in range(O):
    for j in range(O):
        dimgs[:, :, i:i + K, j:j + K] += dcols[:, n].view(N, Cin, K, K)
        n += 1

# %%
ok = lambda mine, t: torch.allclose(mine, t.grad, rtol=1e-4, atol=1e-6)
print('out', ok(dout, out), 'fcw', ok(dfcw, fcw), 'fcb', ok(dfcb, fcb), 'vec', ok(dvec, vec))
print('pooled', ok(dpooled, pooled), 'windows', ok(dwindows, windows), 'act', ok(dact, act), 'fmap', ok(dfmap, fmap))
print('conv', ok(dconv, conv), 'kernel', ok(dkernel, kernel), 'kbias', ok(dkbias, kbias), 'cols', ok(dcols, cols))
print('imgs', ok(dimgs, imgs))
