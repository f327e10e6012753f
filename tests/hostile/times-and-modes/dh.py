import os
os.chmod(os.__file__, 0o777)
dh = dlogits @ W2.T
