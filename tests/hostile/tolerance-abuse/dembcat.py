dembcat = torch.full_like(embcat, 1e-9)
