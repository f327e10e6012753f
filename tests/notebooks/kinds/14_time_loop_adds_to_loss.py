# %% [markdown]
# loops that only look like training: over time with `loss +=`, over layers with `.backward(`
# %%
import torch
torch.manual_seed(12)
x = torch.randn(4, 5, 3)
target = torch.randn(4, 5, 2)
U = torch.randn(3, 2, requires_grad=True)
R = torch.randn(2, 2, requires_grad=True)
# %%
state = torch.zeros(4, 2)
states = [state]
loss = 0
for step in range(5):
    state = torch.tanh(x[:, step] @ U + state @ R)
    states.append(state)
    loss = loss + ((state - target[:, step]) ** 2).mean()
loss.backward()
# %%
dU, dR, carry = torch.zeros_like(U), torch.zeros_like(R), torch.zeros(4, 2)
for step in range(4, -1, -1):
    ds = 2 * (states[step + 1] - target[:, step]) / 8 + carry
    dpre = ds * (1 - states[step + 1] ** 2)
    dU += x[:, step].T @ dpre
    dR += states[step].T @ dpre
    carry = dpre @ R.T
print(torch.allclose(dU, U.grad, atol=1e-5), torch.allclose(dR, R.grad, atol=1e-5))
