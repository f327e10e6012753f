dact = dwindows.reshape(act.shape)
