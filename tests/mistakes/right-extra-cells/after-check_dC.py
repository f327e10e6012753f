for t in [dC, dW1, db1]:
    print(t.shape, t.abs().max())
