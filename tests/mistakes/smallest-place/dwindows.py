dwindows = torch.zeros_like(windows).scatter(2, windows.argmin(2, keepdim=True), dpooled[:, :, None])
