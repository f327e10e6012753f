dC = torch.zeros(27, 10)
for i in range(32):
    for j in range(3):
        dC[Xb[i][j].item()] += demb[i][j]
