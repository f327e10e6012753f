dact = torch.zeros_like(act).view(n, out_size, out_size, n_filters)
for w in range(pool_size**2):
    r, c = 2 * (w // pool_size), 2 * (w % pool_size)
    dact[:, r:r+2, c:c+2] = dwindows[:, w].view(n, 2, 2, n_filters)
dact = dact.view(act.shape)
