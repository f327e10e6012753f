dh = float("nan")
