# %% [markdown]
# House prices (fake). MSE loss. One hidden layer with sigmoid.

# %%
import torch
torch.manual_seed(2024)

size = torch.rand(20, 1) * 3
rooms = torch.randint(1, 6, (20, 1)).float()
feats = torch.cat([size, rooms], 1)
price = 2 * size + 0.5 * rooms + 0.1 * torch.randn(20, 1)
feats = (feats - feats.mean(0)) / feats.std(0)

# %%
w1 = torch.nn.Parameter(torch.randn(2, 5))
b1 = torch.nn.Parameter(torch.zeros(5))
w2 = torch.nn.Parameter(torch.randn(5, 1))
b = torch.nn.Parameter(torch.zeros(1))

# %%
lin = feats @ w1 + b1
hidden = 1 / (1 + torch.exp(-lin))
pred = hidden @ w2 + b
err = pred - price
mse = (err ** 2).mean()
l2 = 1e-2 * (w1 ** 2).sum()
cost = mse + l2
for t in [lin, hidden, pred, err]: t.retain_grad()
cost.backward()
print(f'{cost.item():.3f}')

# %%
err_grad = 2 * err / len(err)
pred_grad = err_grad
grad_hidden = pred_grad @ w2.T
w2_grad = hidden.T @ pred_grad
g_b = pred_grad.sum(0)
grad_lin = grad_hidden * hidden * (1 - hidden)
g_b1 = grad_lin.sum(0)
grad_w1 = feats.T @ grad_lin
grad_w1 = grad_w1 + 2e-2 * w1   # dont forget the regularization!

# %%
print('err', torch.isclose(err_grad, err.grad).all())
print('pred', torch.isclose(pred_grad, pred.grad).all())
torch.testing.assert_close(grad_hidden, hidden.grad)
torch.testing.assert_close(grad_lin, lin.grad)
torch.testing.assert_close(w2_grad, w2.grad)
torch.testing.assert_close(grad_w1, w1.grad)
torch.testing.assert_close(g_b, b.grad)
torch.testing.assert_close(g_b1, b1.grad)
print('all good')

# %%
# numerical check of one entry, to be sure that autograd is right too :)
d = 1e-3
with torch.no_grad():
    def f(w):
        return ((torch.sigmoid(feats @ w + b1) @ w2 + b - price) ** 2).mean() + 1e-2 * (w ** 2).sum()
    up, down = w1.clone(), w1.clone()
    up[0, 0] += d
    down[0, 0] -= d
    print(((f(up) - f(down)) / (2 * d)).item(), grad_w1[0, 0].item())
