dembcat = torch.einsum('nh,eh->ne', dhprebn, W1)
