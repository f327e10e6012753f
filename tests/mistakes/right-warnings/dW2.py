# .T on a 3d tensor warns
torch.ones(2, 3, 4).T.shape
dW2 = h.T @ dlogits
