dC = torch.zeros_like(C)
dC.index_put_((Xb,), demb, accumulate=True)
