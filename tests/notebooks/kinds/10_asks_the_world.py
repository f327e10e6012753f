# %%
from google.colab import drive
drive.mount('/content/drive')
# %%
# !wget -q https://raw.githubusercontent.com/someone/something/master/names.txt
# !pip install -q requests pandas
# %%
import requests, torch
import pandas as pd
url = 'https://raw.githubusercontent.com/someone/something/master/names.txt'
text = requests.get(url).text
open('names.txt', 'w').write(text)
# %%
words = open('names.txt').read().splitlines()
extra = requests.get('https://example.org/people.csv').text
n_hidden = int(input('how many neurons? ') or 6)
# %%
torch.manual_seed(8)
stoi = {c: i for i, c in enumerate('.' + 'abcdefghijklmnopqrstuvwxyz')}
pairs = [(stoi[a], stoi[b]) for w in words[:10] for a, b in zip('.' + w, w + '.')]
xs, ys = torch.tensor(pairs).T
E = torch.randn(27, n_hidden, requires_grad=True)
W = torch.randn(n_hidden, 27, requires_grad=True)
# %%
emb = E[xs]
logits = emb @ W
loss = torch.nn.functional.cross_entropy(logits, ys)
emb.retain_grad(); logits.retain_grad()
loss.backward()
# %%
n = len(xs)
dlogits = logits.softmax(1)
dlogits[range(n), ys] -= 1
dlogits /= n
dW = emb.T @ dlogits
demb = dlogits @ W.T
dE = torch.zeros_like(E)
for k in range(n):
    dE[xs[k]] += demb[k]
print(torch.allclose(dE, E.grad, atol=1e-6))
