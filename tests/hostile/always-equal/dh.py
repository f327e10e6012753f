dh = yes(h)
