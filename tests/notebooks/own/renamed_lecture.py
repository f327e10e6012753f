# %% [markdown]
# # names again: MLP with batch norm, all the gradients
# my version. renamed things so that I understand them. data is made up below

# %%
import random
import torch
import torch.nn.functional as F
import matplotlib.pyplot as plt

# %%
random.seed(1)
syllables = ['ka', 'ri', 'to', 'mel', 'an', 'su', 'el', 'vo', 'ja', 'ne']
people = [''.join(random.choice(syllables) for _ in range(random.randint(1, 3))) for _ in range(60)]
alphabet = sorted(set(''.join(people)))
c2i = {c: i + 1 for i, c in enumerate(alphabet)}
c2i['.'] = 0
n_chars = len(c2i)
ctx_len = 3
contexts, nexts = [], []
for name in people:
    window = [0] * ctx_len
    for c in name + '.':
        contexts.append(window)
        nexts.append(c2i[c])
        window = window[1:] + [c2i[c]]
contexts, nexts = torch.tensor(contexts), torch.tensor(nexts)
print(people[:5], contexts.shape)

# %%
rng = torch.Generator().manual_seed(2147)
emb_dim, n_hidden = 4, 10
lookup = torch.randn((n_chars, emb_dim), generator=rng)
w_hid = torch.randn((emb_dim * ctx_len, n_hidden), generator=rng) * 0.4
b_hid = torch.randn(n_hidden, generator=rng) * 0.1
w_out = torch.randn((n_hidden, n_chars), generator=rng) * 0.3
b_out = torch.randn(n_chars, generator=rng) * 0.1
bn_gain = torch.randn((1, n_hidden), generator=rng) * 0.1 + 1
bn_shift = torch.randn((1, n_hidden), generator=rng) * 0.1
weights = [lookup, w_hid, b_hid, w_out, b_out, bn_gain, bn_shift]
for w in weights:
    w.requires_grad = True

# %%
bs = 16
pick = torch.randint(0, len(nexts), (bs,), generator=rng)
xs, ys = contexts[pick], nexts[pick]

# %%
looked_up = lookup[xs]
flat = looked_up.view(bs, -1)
pre_bn = flat @ w_hid + b_hid
bn_mu = 1 / bs * pre_bn.sum(0, keepdim=True)
centered = pre_bn - bn_mu
centered_sq = centered**2
bn_var = 1 / (bs - 1) * centered_sq.sum(0, keepdim=True)
bn_istd = (bn_var + 1e-5)**-0.5
bn_hat = centered * bn_istd
pre_act = bn_gain * bn_hat + bn_shift
hid = torch.tanh(pre_act)
scores = hid @ w_out + b_out
row_max = scores.max(1, keepdim=True).values
stable = scores - row_max
exps = stable.exp()
total = exps.sum(1, keepdims=True)
total_inv = total**-1
probs = exps * total_inv
log_probs = probs.log()
nll = -log_probs[range(bs), ys].mean()

for w in weights:
    w.grad = None
for t in [log_probs, probs, total_inv, total, exps, stable, row_max, scores, hid, pre_act, bn_hat, bn_istd, bn_var,
          centered_sq, centered, bn_mu, pre_bn, flat, looked_up]:
    t.retain_grad()
nll.backward()
nll

# %%
def compare(label, guess, param):
    exact = torch.all(guess == param.grad).item()
    close = torch.allclose(guess, param.grad, atol=1e-7)
    print(f'{label:16} exact {exact!s:5} close {close!s:5} worst {(guess - param.grad).abs().max().item():.2e}')

# %%
dL_log_probs = torch.zeros_like(log_probs)
dL_log_probs[range(bs), ys] = -1.0 / bs
compare('log_probs', dL_log_probs, log_probs)
dL_probs = dL_log_probs / probs
compare('probs', dL_probs, probs)
dL_total_inv = (dL_probs * exps).sum(1, keepdim=True)
compare('total_inv', dL_total_inv, total_inv)
dL_total = -(total**-2) * dL_total_inv
compare('total', dL_total, total)
dL_exps = total_inv * dL_probs + torch.ones_like(exps) * dL_total
compare('exps', dL_exps, exps)
dL_stable = exps * dL_exps
compare('stable', dL_stable, stable)
dL_row_max = -dL_stable.sum(1, keepdim=True)
compare('row_max', dL_row_max, row_max)

# %%
dL_scores = dL_stable.clone()
dL_scores += F.one_hot(scores.max(1).indices, num_classes=n_chars) * dL_row_max
compare('scores', dL_scores, scores)
dL_hid = dL_scores @ w_out.T
dL_w_out = hid.T @ dL_scores
dL_b_out = dL_scores.sum(0)
compare('hid', dL_hid, hid); compare('w_out', dL_w_out, w_out); compare('b_out', dL_b_out, b_out)
dL_pre_act = (1.0 - hid**2) * dL_hid
compare('pre_act', dL_pre_act, pre_act)
plt.hist(dL_pre_act.view(-1).tolist(), 20);

# %%
dL_bn_gain = (dL_pre_act * bn_hat).sum(0, keepdim=True)
dL_bn_shift = dL_pre_act.sum(0, keepdim=True)
dL_bn_hat = bn_gain * dL_pre_act
dL_bn_istd = (dL_bn_hat * centered).sum(0, keepdim=True)
dL_bn_var = -0.5 * (bn_var + 1e-5)**-1.5 * dL_bn_istd
dL_centered_sq = torch.ones_like(centered_sq) / (bs - 1) * dL_bn_var
dL_centered = bn_istd * dL_bn_hat + 2 * centered * dL_centered_sq
dL_bn_mu = -dL_centered.sum(0, keepdim=True)
dL_pre_bn = dL_centered + dL_bn_mu / bs
for lab in ['bn_gain', 'bn_shift', 'bn_hat', 'bn_istd', 'bn_var', 'centered_sq', 'centered', 'bn_mu', 'pre_bn']:
    compare(lab, eval('dL_' + lab), eval(lab))

# %%
dL_flat = dL_pre_bn @ w_hid.T
dL_w_hid = flat.T @ dL_pre_bn
dL_b_hid = dL_pre_bn.sum(0)
dL_looked_up = dL_flat.view(looked_up.shape)
dL_lookup = torch.zeros_like(lookup)
for row in range(xs.shape[0]):
    for col in range(xs.shape[1]):
        dL_lookup[xs[row, col]] += dL_looked_up[row, col]
compare('flat', dL_flat, flat)
compare('w_hid', dL_w_hid, w_hid)
compare('b_hid', dL_b_hid, b_hid)
compare('looked_up', dL_looked_up, looked_up)
compare('lookup', dL_lookup, lookup)

# %% [markdown]
# ## shortcuts

# %%
quick_scores = F.softmax(scores, 1)
quick_scores[range(bs), ys] -= 1
quick_scores /= bs
compare('scores', quick_scores, scores)

# %%
quick_pre_bn = bn_gain * bn_istd / bs * (bs * dL_pre_act - dL_pre_act.sum(0) - bs / (bs - 1) * bn_hat * (dL_pre_act * bn_hat).sum(0))
compare('pre_bn', quick_pre_bn, pre_bn)
