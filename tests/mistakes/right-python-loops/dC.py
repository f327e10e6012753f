dC = torch.zeros_like(C)
for row, drow in zip(Xb.tolist(), demb):
    for char, d in zip(row, drow):
        dC[char] += d
