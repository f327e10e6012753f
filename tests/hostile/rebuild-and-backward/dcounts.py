dcounts = t['counts'].grad
