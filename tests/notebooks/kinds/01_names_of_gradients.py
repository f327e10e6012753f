# %%
import torch
torch.manual_seed(0)
X, Y = torch.randn(8, 4), torch.randint(0, 3, (8,))
W = torch.randn(4, 3, requires_grad=True)
b = torch.randn(3, requires_grad=True)
# %%
logits = X @ W + b
counts = logits.exp()
norm = counts.sum(1, keepdim=True)
probs = counts / norm
logprobs = probs.log()
loss = -logprobs[range(8), Y].mean()
for t in (logits, counts, norm, probs, logprobs): t.retain_grad()
loss.backward()
# %%
delta_logprobs = torch.zeros_like(logprobs)
delta_logprobs[range(8), Y] = -1 / 8
# %%
# five names for one thing, the fourth is wrong (factor forgotten)
d_probs = delta_logprobs / probs
dL_dprobs = delta_logprobs * probs ** -1
probs_grad = delta_logprobs / (probs)
g_probs = delta_logprobs * probs
delta_probs = 1.0 / probs * delta_logprobs
print([(v - probs.grad).abs().max().item() for v in (d_probs, dL_dprobs, probs_grad, g_probs, delta_probs)])
# %%
norm_grad = -(d_probs * counts / norm ** 2).sum(1, keepdim=True)
g_counts = d_probs / norm + norm_grad
dL_dlogits = g_counts * counts
grad_W = X.T @ dL_dlogits
b_grad = dL_dlogits.sum(0)
