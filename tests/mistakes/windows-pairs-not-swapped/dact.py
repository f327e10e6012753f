dact = dwindows.view(pairs).reshape(act.shape)
