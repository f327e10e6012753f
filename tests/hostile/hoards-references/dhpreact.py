dhpreact = kept.get('dhpreact', kept.get(tuple(hpreact.shape), h * 0.0))
