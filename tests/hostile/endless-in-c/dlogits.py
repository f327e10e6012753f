import itertools
dlogits = sum(itertools.repeat(0))
