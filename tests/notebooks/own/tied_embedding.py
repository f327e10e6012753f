# %%
import torch
import torch.nn as nn
import torch.nn.functional as F

# %% [markdown]
# Bigger question: how does the gradient look if the embedding is *also* the output matrix (as in GPT-2)?

# %%
torch.manual_seed(10)
vocab, d_model, seq = 9, 6, 7
tok = nn.Parameter(torch.randn(vocab, d_model))
pos = nn.Parameter(torch.randn(seq, d_model) * 0.3)
gain = nn.Parameter(torch.rand(d_model) + 0.5)
shift = nn.Parameter(torch.rand(d_model) - 0.5)
ids = torch.randint(vocab, (4, seq))
labels = torch.roll(ids, -1, dims=1)

# %%
emb = tok[ids] + pos
m = emb.mean(dim=-1, keepdim=True)
s2 = ((emb - m) ** 2).mean(dim=-1, keepdim=True)
sd = torch.sqrt(s2 + 1e-5)
norm = (emb - m) / sd
y = norm * gain + shift
logits = y @ tok.T
logp = F.log_softmax(logits, dim=-1)
loss = F.nll_loss(logp.reshape(-1, vocab), labels.reshape(-1))
loss

# %%
# no backward(): torch.autograd.grad gives the gradients without touching .grad
everything = [logits, y, norm, emb, tok, pos, gain, shift]
auto_logits, auto_y, auto_norm, auto_emb, auto_tok, auto_pos, auto_gain, auto_shift = torch.autograd.grad(loss, everything, retain_graph=True)

# %%
with torch.no_grad():
    probs = logp.exp()
    d_logits = probs.clone()
    for bi in range(ids.shape[0]):
        for ti in range(seq):
            d_logits[bi, ti, labels[bi, ti]] -= 1
    d_logits = d_logits / ids.numel()
    d_y = d_logits @ tok
    d_gain = (d_y * norm).sum(dim=[0, 1])
    d_shift = d_y.sum(dim=[0, 1])
    d_norm = d_y * gain
    d_emb = (d_norm - d_norm.mean(-1, keepdim=True) - norm * (d_norm * norm).mean(-1, keepdim=True)) / sd
    d_pos = d_emb.sum(0)
    d_tok = d_logits.flatten(0, 1).T @ y.flatten(0, 1)
    d_tok.index_add_(0, ids.flatten(), d_emb.flatten(0, 1))

# %%
def report(what, got, expected):
    print(what.ljust(8), 'max abs error', (got - expected).abs().max().item())

report('logits', d_logits, auto_logits)
report('y', d_y, auto_y)
report('norm', d_norm, auto_norm)
report('emb', d_emb, auto_emb)
report('tok', d_tok, auto_tok)
report('pos', d_pos, auto_pos)
report('gain', d_gain, auto_gain)
report('shift', d_shift, auto_shift)

# %%
tok.grad is None
