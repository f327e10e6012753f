print('x' * 30_000_000)
for i in range(2000):
    print(dlogits)
    if i > 20: break
dW2 = h.T @ dlogits
