onehot = F.one_hot(Xb.view(-1), num_classes=27).float()   # (96, 27)
dC = onehot.T @ demb.view(-1, 10)
