dh = kept.get('dh', kept.get(tuple(h.shape), h * 0.0))
