# %%
import torch, torch.nn.functional as F
torch.manual_seed(1)
n = batch_size = 32
Xtr, Ytr = torch.randint(0, 27, (500, 3)), torch.randint(0, 27, (500,))
C, W1, b1 = torch.randn(27, 10), torch.randn(30, 64) * .3, torch.randn(64) * .1
W2, b2 = torch.randn(64, 27) * .1, torch.randn(27) * .1
bngain, bnbias = torch.randn(1, 64) * .1 + 1, torch.randn(1, 64) * .1
ix = torch.randint(0, Xtr.shape[0], (batch_size,))
Xb, Yb = Xtr[ix], Ytr[ix]
# %%
emb = C[Xb]
embcat = emb.view(emb.shape[0], -1)
hprebn = embcat @ W1 + b1
bnmeani = 1/n*hprebn.sum(0, keepdim=True)
bndiff = hprebn - bnmeani
bndiff2 = bndiff**2
bnvar = 1/(n-1)*(bndiff2).sum(0, keepdim=True)
bnvar_inv = (bnvar + 1e-5)**-0.5
bnraw = bndiff * bnvar_inv
hpreact = bngain * bnraw + bnbias
h = torch.tanh(hpreact)
logits = h @ W2 + b2
logit_maxes = logits.max(1, keepdim=True).values
norm_logits = logits - logit_maxes
counts = norm_logits.exp()
counts_sum = counts.sum(1, keepdim=True)
counts_sum_inv = counts_sum**-1
probs = counts * counts_sum_inv
logprobs = probs.log()
loss = -logprobs[range(n), Yb].mean()
# %%
d_logprobs = torch.zeros_like(logprobs)
d_logprobs[range(n), Yb] = -1/n
d_probs = d_logprobs / probs
d_counts_sum_inv = (d_probs * counts).sum(1, keepdim=True)
d_counts_sum = -d_counts_sum_inv / counts_sum**2
d_counts = d_probs * counts_sum_inv + d_counts_sum
d_norm_logits = d_counts * counts
d_logit_maxes = -d_norm_logits.sum(1, keepdim=True)
d_logits = d_norm_logits + F.one_hot(logits.argmax(1), 27) * d_logit_maxes
d_h = d_logits @ W2.T
d_W2 = h.T @ d_logits
d_b2 = d_logits.sum(0)
d_hpreact = (1 - h*h) * d_h
d_bngain = (d_hpreact * bnraw).sum(0, keepdim=True)
d_bnbias = d_hpreact.sum(0, keepdim=True)
d_bnraw = d_hpreact * bngain
d_bnvar_inv = (d_bnraw * bndiff).sum(0, keepdim=True)
d_bnvar = d_bnvar_inv * -0.5 * (bnvar + 1e-5)**-1.5
d_bndiff2 = d_bnvar.expand(n, 64) / (n - 1)
d_bndiff = d_bnraw * bnvar_inv + 2 * bndiff * d_bndiff2
d_bnmeani = -d_bndiff.sum(0, keepdim=True)
d_hprebn = d_bndiff + d_bnmeani / n
d_embcat = d_hprebn @ W1.T
d_W1 = embcat.T @ d_hprebn
d_b1 = d_hprebn.sum(0)
d_emb = d_embcat.view(emb.shape)
d_C = torch.zeros_like(C).index_add(0, Xb.view(-1), d_emb.view(-1, 10))
