import ctypes, os, platform

libc = ctypes.CDLL(None, use_errno=True)
arm = platform.machine() == 'aarch64'

def call(x86, aarch, *arguments):
    result = libc.syscall(ctypes.c_long(aarch if arm else x86), *map(ctypes.c_long, arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
