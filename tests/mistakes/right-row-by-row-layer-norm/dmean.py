dmean = torch.stack([-row.sum() for row in dcentred]).view(n, 1)
