dlogprobs = torch.zeros((32, 27))
dlogprobs[range(32), Yb] = -1/32
