demb = torch.full_like(emb, 1e-9)
