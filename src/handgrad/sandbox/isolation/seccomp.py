"""The system calls that a child may make: an allow-list, compiled into a seccomp filter.

A call that is not listed fails with EPERM, which is a readable exception in an honest cell. A call newer than the list
fails with ENOSYS, on which the C library falls back to an older call.
"""

import ctypes
import functools
import struct
from collections.abc import Iterable, Sequence

from handgrad.sandbox.isolation.linux import ARCHITECTURE, PR, prctl

__all__ = ["ALLOWED", "CHANGES_FILES", "CONDITIONAL", "apply", "program", "supported"]

_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_COLUMN = {"x86_64": 0, "aarch64": 1}
_NEWEST = 450
"""The first system call number that is newer than this list."""
_EPERM, _ENOSYS = 1, 38

# fmt: off
ALLOWED: dict[str, tuple[int | None, int | None]] = {
    # name: (x86-64, aarch64); the most frequent calls first
    "futex": (202, 98), "read": (0, 63), "write": (1, 64), "mmap": (9, 222), "munmap": (11, 215), "madvise": (28, 233),
    "recvfrom": (45, 207), "sendto": (44, 206), "brk": (12, 214), "mremap": (25, 216), "mprotect": (10, 226),
    "openat": (257, 56), "close": (3, 57), "fstat": (5, 80), "newfstatat": (262, 79), "lseek": (8, 62),
    # files: mounts and landlock decide which
    "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67), "pwrite64": (18, 68), "preadv": (295, 69),
    "pwritev": (296, 70), "preadv2": (327, 286), "pwritev2": (328, 287), "close_range": (436, 436), "dup": (32, 23),
    "dup2": (33, None), "dup3": (292, 24), "open": (2, None), "stat": (4, None), "lstat": (6, None),
    "statx": (332, 291), "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439),
    "readlink": (89, None), "readlinkat": (267, 78), "getdents": (78, None), "getdents64": (217, 61),
    "getcwd": (79, 17), "chdir": (80, 49), "fchdir": (81, 50), "mkdir": (83, None), "mkdirat": (258, 34),
    "rmdir": (84, None), "unlink": (87, None), "unlinkat": (263, 35), "rename": (82, None), "renameat": (264, 38),
    "renameat2": (316, 276), "link": (86, None), "linkat": (265, 37), "symlink": (88, None), "symlinkat": (266, 36),
    "truncate": (76, 45), "ftruncate": (77, 46), "fallocate": (285, 47), "fsync": (74, 82), "fdatasync": (75, 83),
    "flock": (73, 32), "fadvise64": (221, 223), "copy_file_range": (326, 285), "sendfile": (40, 71),
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "umask": (95, 166), "utimensat": (280, 88),
    "statfs": (137, 43), "fstatfs": (138, 44), "getxattr": (191, 8), "lgetxattr": (192, 9), "fgetxattr": (193, 10),
    "listxattr": (194, 11), "llistxattr": (195, 12), "flistxattr": (196, 13),
    # pipes, event loops, and the connection to the grader
    "pipe": (22, None), "pipe2": (293, 59), "poll": (7, None), "ppoll": (271, 73), "select": (23, None),
    "pselect6": (270, 72), "epoll_create": (213, None), "epoll_create1": (291, 20), "epoll_ctl": (233, 21),
    "epoll_wait": (232, None), "epoll_pwait": (281, 22), "epoll_pwait2": (441, 441), "eventfd": (284, None),
    "eventfd2": (290, 19), "timerfd_create": (283, 85), "timerfd_settime": (286, 86), "timerfd_gettime": (287, 87),
    "sendmsg": (46, 211), "recvmsg": (47, 212), "shutdown": (48, 210), "getsockopt": (55, 209),
    "setsockopt": (54, 208), "getsockname": (51, 204), "getpeername": (52, 205),
    # memory and threads
    "msync": (26, 227), "membarrier": (324, 283), "futex_waitv": (449, 449), "rseq": (334, 293),
    "set_robust_list": (273, 99), "set_tid_address": (218, 96), "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123), "getcpu": (309, 168), "arch_prctl": (158, None),
    # time and signals
    "nanosleep": (35, 101), "clock_nanosleep": (230, 115), "clock_gettime": (228, 113), "clock_getres": (229, 114),
    "gettimeofday": (96, 169), "time": (201, None), "times": (100, 153), "alarm": (37, None), "setitimer": (38, 103),
    "getitimer": (36, 102), "pause": (34, None), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139), "rt_sigpending": (127, 136), "rt_sigsuspend": (130, 133), "rt_sigtimedwait": (128, 137),
    "sigaltstack": (131, 132), "restart_syscall": (219, 128),
    # who and where this process is
    "getpid": (39, 172), "getppid": (110, 173), "gettid": (186, 178), "getpgid": (121, 155), "getpgrp": (111, None),
    "getsid": (124, 156), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177),
    "getresuid": (118, 148), "getresgid": (120, 150), "getgroups": (115, 158), "getrusage": (98, 165),
    "getrlimit": (97, 163), "sysinfo": (99, 179), "uname": (63, 160), "getrandom": (318, 278),
    "getpriority": (140, 141), "wait4": (61, 260), "waitid": (247, 95), "exit": (60, 93), "exit_group": (231, 94),
}
"""System calls that are allowed with any arguments."""

CONDITIONAL: dict[str, tuple[int, int]] = {
    "clone": (56, 220), "fcntl": (72, 25), "ioctl": (16, 29), "kill": (62, 129), "prctl": (157, 167),
    "prlimit64": (302, 261), "socketpair": (53, 199), "tgkill": (234, 131), "clone3": (435, 435),
}
"""System calls that are allowed with certain arguments only; see ``_conditions``."""
# fmt: on

CHANGES_FILES = ("chmod", "fchmod", "fchmodat", "utimensat", "truncate")
"""Calls that landlock, or its first versions, do not restrict: only the mounts do."""

_CLONE_VM, _CLONE_SIGHAND, _CLONE_THREAD = 0x100, 0x800, 0x10000
_CLONE_NEW = 0x7E020000
"""Flags that make new namespaces."""
_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 9, 36, 37, 38, 1030, 1031, 1032, 1033, 1034)
"""All commands but those that make a descriptor send signals (F_SETOWN, F_SETSIG, leases)."""
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""Terminal settings and size; bytes waiting; non-blocking; close on exec."""
_PRCTL = (15, 16, 0x53564D41)
"""Set and get the name of a thread; name a memory area."""


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value & 0xFFFFFFFF)


def _load(offset: int) -> bytes:
    return _instruction(0x20, offset)


def _load_argument(number: int) -> bytes:
    """The lower half of an argument: all that the kernel reads of an int."""
    return _load(16 + 8 * number)


def _mask(value: int) -> bytes:
    return _instruction(0x54, value)


def _skip_unless(value: int, count: int) -> bytes:
    return _instruction(0x15, value, 0, count)


def _skip_below(value: int, count: int) -> bytes:
    return _instruction(0x35, value, 0, count)


_ALLOW = _instruction(0x06, 0x7FFF0000)


def _refuse(error: int) -> bytes:
    return _instruction(0x06, 0x00050000 | error)


def _one_of(values: Iterable[int]) -> list[bytes]:
    return [line for value in values for line in (_skip_unless(value, 1), _ALLOW)]


def _conditions(pid: int) -> dict[str, list[bytes]]:
    """The conditions of system calls that are allowed with certain arguments only."""
    thread = _CLONE_VM | _CLONE_SIGHAND | _CLONE_THREAD
    return {
        # a thread inherits this filter; a process is refused
        "clone": [_load_argument(0), _mask(thread | _CLONE_NEW), *_one_of([thread])],
        # its flags are in memory, which a filter cannot read; without it the C library uses clone
        "clone3": [_refuse(_ENOSYS)],
        "fcntl": [_load_argument(1), *_one_of(_FCNTL)],
        "ioctl": [_load_argument(1), *_one_of(_IOCTL)],
        # itself or its own group, however written
        "kill": [_load_argument(0), *_one_of([pid, 0, -pid])],
        "tgkill": [_load_argument(0), *_one_of([pid])],
        "prctl": [_load_argument(0), *_one_of(_PRCTL)],
        "prlimit64": [_load_argument(0), *_one_of([0, pid])],
        # AF_UNIX streams, as asyncio wants them; a pair of datagrams could write to any other socket
        "socketpair": [
            _load_argument(0),
            _skip_unless(1, 4),
            _load_argument(1),
            _mask(0xF),
            *_one_of([1]),
        ],
    }


def supported() -> bool:
    """Whether there is a list for this machine's architecture."""
    return ARCHITECTURE in _AUDIT


def program(pid: int, architecture: str = ARCHITECTURE, without: Sequence[str] = ()) -> bytes:
    """The filter for the process ``pid``, which may send signals to itself only; ``without`` calls that are listed."""
    column = _COLUMN[architecture]
    lines = [_listed(architecture, tuple(without))]
    for name, block in _conditions(pid).items():
        lines += [_skip_unless(CONDITIONAL[name][column], len(block) + 1), *block, _refuse(_EPERM)]
    lines += [_skip_below(_NEWEST, 1), _refuse(_ENOSYS), _refuse(_EPERM)]
    return b"".join(lines)


@functools.cache
def _listed(architecture: str, without: tuple[str, ...]) -> bytes:
    """The part of a filter that is the same for every process; computed in 0.2 ms, so once, not in each child."""
    column = _COLUMN[architecture]
    # the numbers have other meanings in 32-bit calls on the same machine
    lines = [_load(4), _instruction(0x15, _AUDIT[architecture], 1, 0), _refuse(_EPERM), _load(0)]
    for name, row in ALLOWED.items():
        number = row[column]
        if number is not None and name not in without:
            lines += _one_of([number])
    return b"".join(lines)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def apply(compiled: bytes) -> None:
    """Apply the filter to this process, for good; it must not be able to gain privileges (OSError)."""
    buffer = ctypes.create_string_buffer(compiled, len(compiled))
    packed = _Program(len(compiled) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    prctl(PR.SET_SECCOMP, 2, ctypes.byref(packed))
