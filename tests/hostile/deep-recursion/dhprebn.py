def f(x):
    return f(x)
dhprebn = f(dbndiff)
