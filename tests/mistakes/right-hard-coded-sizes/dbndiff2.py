dbndiff2 = (1/31) * torch.ones(32, 64) * dbnvar
