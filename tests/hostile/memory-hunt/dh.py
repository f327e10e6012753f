dh = hunt(h)
