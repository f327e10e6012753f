# %%
import torch
torch.manual_seed(1)
X, Y = torch.randn(8, 4), torch.randint(0, 3, (8,))
W = torch.randn(4, 3, requires_grad=True)
b = torch.randn(3, requires_grad=True)
# %%
logits = X @ W + b
probs = logits.softmax(1)
logprobs = probs.log()
loss = -logprobs[range(8), Y].mean()
for t in (logits, probs, logprobs): t.retain_grad()
loss.backward()
# %%
def check_grad(name, mine, tensor):
    err = torch.norm(mine - tensor.grad) / torch.norm(tensor.grad)
    print(name, 'passed' if err < 1e-5 else f'failed ({err:.3f})')
# %%
first = torch.zeros(8, 3)
first[range(8), Y] = -1 / 8
check_grad('log of the probabilities', first, logprobs)
# %%
dprobs = first / probs
torch.testing.assert_close(dprobs, probs.grad)
print((dprobs - probs.grad).abs().max())
# %%
z = probs * (dprobs - (dprobs * probs).sum(1, keepdim=True))
print((z - logits.grad).abs().max())
# %%
tmp = X.T @ z
assert torch.allclose(W.grad, tmp, atol=1e-6), "W"
# %%
tmp = z.mean(0)
check_grad('bias', tmp, b)
