dhprebn = torch.full_like(hprebn, 1e-9)
