dy = 2 / n * (y - target)
