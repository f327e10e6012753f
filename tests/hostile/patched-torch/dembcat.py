dembcat = torch.full_like(embcat, 0.5)
