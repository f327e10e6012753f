dbk = torch.zeros_like(bk)
