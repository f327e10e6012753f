dwindows = F.one_hot(windows.argmax(2), 4).transpose(2, 3) * dpooled[:, :, None]
