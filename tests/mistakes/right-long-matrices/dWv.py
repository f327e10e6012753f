dWv = x.flatten(0, 1).T @ dv.flatten(0, 1)
