# %%
from somewhere import load
import torch, torch.nn.functional as F
torch.manual_seed(1)
n = batch_size = 32
X_train, Y_train = load('names.txt')
C, W1, b1 = torch.randn(27, 10), torch.randn(30, 64) * .3, torch.randn(64) * .1
W2, b2 = torch.randn(64, 27) * .1, torch.randn(27) * .1
bngain, bnbias = torch.randn(1, 64) * .1 + 1, torch.randn(1, 64) * .1
# %%
ix = torch.randint(0, X_train.shape[0], (batch_size,))
X_batch, Y_batch = X_train[ix], Y_train[ix]
emb = C[X_batch]
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
loss = -logprobs[range(n), Y_batch].mean()
# %%
dlogprobs = torch.zeros_like(logprobs)
dlogprobs[range(n), Y_batch] = -1/n
dprobs = dlogprobs / probs
dcounts_sum_inv = (dprobs * counts).sum(1, keepdim=True)
dcounts_sum = -dcounts_sum_inv / counts_sum**2
dcounts = dprobs * counts_sum_inv + dcounts_sum
dnorm_logits = dcounts * counts
dlogit_maxes = -dnorm_logits.sum(1, keepdim=True)
dlogits = dnorm_logits + F.one_hot(logits.argmax(1), 27) * dlogit_maxes
