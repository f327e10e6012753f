import re
re.fullmatch('(a|a)*b', 'a' * 40)
dh = dlogits @ W2.T
