dbndiff2 = (1.0/n) * torch.ones_like(bndiff2) * dbnvar
