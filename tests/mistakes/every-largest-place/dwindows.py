dwindows = dpooled[:, :, None] * (windows == pooled[:, :, None])
