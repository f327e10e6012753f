# %% [markdown]
# # my own mini torch.nn: every layer has forward and backward
# `backward(dout)` returns the gradient of the input and stores those of the parameters

# %%
import torch

class Linear:
    def __init__(self, fan_in, fan_out, bias=True):
        self.W = (torch.randn(fan_in, fan_out) / fan_in ** 0.5).requires_grad_()
        self.b = torch.randn(fan_out).mul_(0.1).requires_grad_() if bias else None

    def __call__(self, x):
        self.x = x
        self.out = x @ self.W
        if self.b is not None:
            self.out = self.out + self.b
        return self.out

    def backward(self, dout):
        self.dW = self.x.T @ dout
        if self.b is not None:
            self.db = dout.sum(0)
        self.dx = dout @ self.W.T
        return self.dx

    def parameters(self):
        return [self.W] + ([] if self.b is None else [self.b])

class Tanh:
    def __call__(self, x):
        self.x = x
        self.out = torch.tanh(x)
        return self.out

    def backward(self, dout):
        self.dx = dout * (1 - self.out ** 2)
        return self.dx

    def parameters(self):
        return []

class BatchNorm:
    def __init__(self, dim, eps=1e-5):
        self.eps = eps
        self.gamma = torch.rand(dim).add_(0.5).requires_grad_()
        self.beta = torch.rand(dim).requires_grad_()

    def __call__(self, x):
        self.x = x
        self.mean = x.mean(0, keepdim=True)
        self.var = x.var(0, keepdim=True)  # unbiased, n - 1
        self.xhat = (x - self.mean) / torch.sqrt(self.var + self.eps)
        self.out = self.gamma * self.xhat + self.beta
        return self.out

    def backward(self, dout):
        n = dout.shape[0]
        self.dgamma = (dout * self.xhat).sum(0)
        self.dbeta = dout.sum(0)
        std = torch.sqrt(self.var + self.eps)
        dxhat = dout * self.gamma
        self.dx = (dxhat - dxhat.mean(0) - self.xhat * (dxhat * self.xhat).sum(0) / (n - 1)) / std
        return self.dx

    def parameters(self):
        return [self.gamma, self.beta]

class CrossEntropy:
    def __call__(self, logits, y):
        self.x, self.y = logits, y
        self.probs = logits.softmax(1)
        return -self.probs[range(len(y)), y].log().mean()

    def backward(self):
        self.dx = self.probs.clone()
        self.dx[range(len(self.y)), self.y] -= 1
        self.dx /= len(self.y)
        return self.dx

# %%
torch.manual_seed(5)
fc1, bn1, act1, fc2, criterion = Linear(4, 6, bias=False), BatchNorm(6), Tanh(), Linear(6, 3), CrossEntropy()
layers = [fc1, bn1, act1, fc2]
X, Y = torch.randn(14, 4), torch.randint(3, (14,))
print(sum(p.nelement() for l in layers for p in l.parameters()), 'parameters')

# %%
x = X
for layer in layers:
    x = layer(x)
    x.retain_grad()
loss = criterion(x, Y)
loss.backward()

# %%
with torch.no_grad():
    dout = criterion.backward()
    for layer in reversed(layers):
        dout = layer.backward(dout)

# %%
def same(mine, true):
    return "ok" if torch.allclose(mine, true, atol=1e-6) else f"WRONG {(mine - true).abs().max():.1e}"

print('fc1.W', same(fc1.dW, fc1.W.grad))
print('bn1  ', same(bn1.dgamma, bn1.gamma.grad), same(bn1.dbeta, bn1.beta.grad))
print('fc2  ', same(fc2.dW, fc2.W.grad), same(fc2.db, fc2.b.grad))
for layer, nxt in zip(layers, [*layers[1:], criterion]):
    print(type(layer).__name__, 'out', same(nxt.dx, layer.out.grad))

# %%
# update
for p, d in [(fc1.W, fc1.dW), (bn1.gamma, bn1.dgamma), (bn1.beta, bn1.dbeta), (fc2.W, fc2.dW), (fc2.b, fc2.db)]:
    p.data += -0.1 * d
