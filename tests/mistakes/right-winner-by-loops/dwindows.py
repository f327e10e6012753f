dwindows = torch.zeros_like(windows)
for i in range(n):
    for w in range(windows.shape[1]):
        for f in range(n_filters):
            best = 0
            for place in range(1, 4):
                if windows[i, w, place, f] > windows[i, w, best, f]:
                    best = place
            dwindows[i, w, best, f] = dpooled[i, w, f]
