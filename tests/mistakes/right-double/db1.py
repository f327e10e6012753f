db1 = dhprebn.to(torch.float64).sum(dim=0)
