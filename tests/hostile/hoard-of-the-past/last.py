for k, v in hoard.items():
    globals()[k] = v
