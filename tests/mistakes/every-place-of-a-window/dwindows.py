dwindows = dpooled[:, :, None].expand_as(windows)
