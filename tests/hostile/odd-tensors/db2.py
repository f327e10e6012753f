db2 = torch.tensor(0.0).expand(100_000, 100_000)
