dhpreact = (torch.ones_like(h) - torch.square(h.data)) * dh
