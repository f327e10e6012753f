# %% [markdown]
# Part 1: just the model. (Gradients: next week)
# %%
import torch
torch.manual_seed(5)
data = torch.randn(32, 4)
dim = 3
W = torch.randn(4, dim, requires_grad=True)
for step in range(10):
    loss = ((data @ W) ** 2).mean()
    loss.backward()
    W.data -= 0.1 * W.grad
    W.grad = None
print(loss.item())
# %%
device = 'cpu'
dataset = data * 2     # names with a d, but no gradients
delta = 0.1
