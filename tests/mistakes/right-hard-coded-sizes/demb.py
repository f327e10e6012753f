demb = dembcat.view(32, 3, 10)
