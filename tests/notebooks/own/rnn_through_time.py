# %% [markdown]
# ## vanilla RNN, 4 time steps, BPTT
# same loops as the famous numpy gist but with torch so that I can check it

# %%
import torch

data = 'hello'
chars = sorted(set(data))
stoi = {ch: i for i, ch in enumerate(chars)}
vocab_size, hidden_size = len(chars), 6
print(chars)

# %%
torch.manual_seed(3)
Wxh = torch.randn(hidden_size, vocab_size) * 0.5
Whh = torch.randn(hidden_size, hidden_size) * 0.5
Why = torch.randn(vocab_size, hidden_size) * 0.5
bh = torch.zeros(hidden_size, 1)
by = torch.zeros(vocab_size, 1)
params = [Wxh, Whh, Why, bh, by]
for param in params:
    param.requires_grad_(True)

# %%
inputs = [stoi[c] for c in data[:-1]]
targets = [stoi[c] for c in data[1:]]
xs, hs, ys, ps = {}, {}, {}, {}
hs[-1] = torch.zeros(hidden_size, 1)
loss = 0
for t in range(len(inputs)):
    xs[t] = torch.zeros(vocab_size, 1)
    xs[t][inputs[t]] = 1
    hs[t] = torch.tanh(Wxh @ xs[t] + Whh @ hs[t - 1] + bh)
    ys[t] = Why @ hs[t] + by
    ps[t] = torch.exp(ys[t]) / torch.sum(torch.exp(ys[t]))
    loss += -torch.log(ps[t][targets[t], 0])
    hs[t].retain_grad()
    ys[t].retain_grad()
loss.backward()
loss

# %%
dWxh, dWhh, dWhy = torch.zeros_like(Wxh), torch.zeros_like(Whh), torch.zeros_like(Why)
dbh, dby = torch.zeros_like(bh), torch.zeros_like(by)
dhnext = torch.zeros_like(hs[0])
dys, dhs = {}, {}
for t in reversed(range(len(inputs))):
    dy = ps[t].clone()
    dy[targets[t]] -= 1
    dys[t] = dy
    dWhy += dy @ hs[t].T
    dby += dy
    dh = Why.T @ dy + dhnext  # from the output and from the next step
    dhs[t] = dh
    dhraw = (1 - hs[t] * hs[t]) * dh
    dbh += dhraw
    dWxh += dhraw @ xs[t].T
    dWhh += dhraw @ hs[t - 1].T
    dhnext = Whh.T @ dhraw

# %%
for param, dparam in zip(params, [dWxh, dWhh, dWhy, dbh, dby]):
    print(tuple(param.shape), (param.grad - dparam).abs().max().item())
for t in range(4):
    print(t, torch.allclose(dhs[t], hs[t].grad, atol=1e-5), torch.allclose(dys[t], ys[t].grad, atol=1e-5))

# %%
# does the gradient vanish? (no, too short)
[round(dhs[t].norm().item(), 3) for t in range(4)]
