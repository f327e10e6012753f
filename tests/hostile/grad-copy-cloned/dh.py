dh = getattr(h, 'gr' + 'ad') * 1.0 + 0 * h
