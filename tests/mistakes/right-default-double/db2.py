db2 = torch.ones(n) @ dlogits.double()
