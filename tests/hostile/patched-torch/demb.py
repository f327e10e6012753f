demb = torch.full_like(emb, 0.5)
