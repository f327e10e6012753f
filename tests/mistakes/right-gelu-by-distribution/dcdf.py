dcdf = torch.mul(dact, pre)
