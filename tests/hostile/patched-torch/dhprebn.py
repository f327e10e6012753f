dhprebn = torch.full_like(hprebn, 0.5)
