place = torch.arange(4).view(4, 1)
last = ((windows == pooled[:, :, None]) * (place + 1)).argmax(2, keepdim=True)
dwindows = torch.zeros_like(windows).scatter(2, last, dpooled[:, :, None])
