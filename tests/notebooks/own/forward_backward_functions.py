# %% [markdown]
# # Refactored: `forward` and `backward` as functions
# everything that backward needs goes into a cache (dict), gradients come back as a dict

# %%
import torch

# %%
def init_params(sizes, seed=0):
    gen = torch.Generator().manual_seed(seed)
    params = {}
    for i, (n, m) in enumerate(zip(sizes[:-1], sizes[1:]), start=1):
        params[f'W{i}'] = torch.randn(n, m, generator=gen) / n**0.5
        params[f'b{i}'] = 0.1 * torch.randn(m, generator=gen)
    for value in params.values():
        value.requires_grad_()
    return params

# %%
def forward(params, X, Y):
    cache = {'X': X, 'Y': Y}
    cache['z1'] = X @ params['W1'] + params['b1']
    cache['h1'] = torch.tanh(cache['z1'])
    cache['z2'] = cache['h1'] @ params['W2'] + params['b2']
    cache['h2'] = torch.nn.functional.leaky_relu(cache['z2'], 0.1)
    cache['logits'] = cache['h2'] @ params['W3'] + params['b3']
    cache['probs'] = torch.softmax(cache['logits'], 1)
    loss = -cache['probs'][torch.arange(len(Y)), Y].log().mean()
    return loss, cache

# %%
def backward(params, cache):
    """gradients of everything, by hand"""
    n = cache['X'].shape[0]
    dlogits = cache['probs'].detach().clone()
    dlogits[torch.arange(n), cache['Y']] -= 1
    dlogits = dlogits / n
    dW3 = cache['h2'].T @ dlogits
    db3 = dlogits.sum(0)
    dh2 = dlogits @ params['W3'].T
    slope = torch.where(cache['z2'] > 0, 1.0, 0.1)
    dz2 = dh2 * slope
    dW2 = cache['h1'].T @ dz2
    db2 = dz2.sum(0)
    dh1 = dz2 @ params['W2'].T
    dz1 = (1 - cache['h1'] ** 2) * dh1
    dW1 = cache['X'].T @ dz1
    db1 = dz1.sum(0)
    return dict(logits=dlogits, W3=dW3, b3=db3, h2=dh2, z2=dz2, W2=dW2, b2=db2, h1=dh1, z1=dz1, W1=dW1, b1=db1)

# %%
torch.manual_seed(11)
params = init_params([6, 8, 7, 5])
X = torch.randn(16, 6)
Y = torch.randint(0, 5, (16,))
loss, cache = forward(params, X, Y)
for key, value in cache.items():
    if value.requires_grad:
        value.retain_grad()
loss.backward()

# %%
grads = backward(params, cache)
for key, grad in grads.items():
    tensor = params[key] if key in params else cache[key]
    ok = torch.allclose(grad, tensor.grad, atol=1e-6)
    print(f'{key:10} {"✓" if ok else "✗"}')

# %%
# scratch
# dh1.shape  -> NameError, is local now
sum(v.numel() for v in params.values())
