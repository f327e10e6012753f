dC = torch.empty(0)
