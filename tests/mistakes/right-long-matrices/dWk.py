dWk = torch.zeros_like(Wk)
for b in range(batch_size):
    dWk += x[b].T @ dk[b]
