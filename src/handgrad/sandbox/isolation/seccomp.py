"""The system calls that a child may make: an allow-list, compiled into a seccomp filter.

A call that is not listed fails with EPERM, which is a readable exception in an honest cell. A call newer than the list
fails with ENOSYS, on which the C library falls back to an older call.

A call is listed if an exercise needs it and nothing that it leaves or tells reaches beyond the child: no locks, no
state of the page cache, no counters of the machine or the user. docs/reference/system-calls.md gives the
reason for each.
"""

import ctypes
import functools
import struct
from collections.abc import Iterable, Sequence

from handgrad.sandbox.isolation.linux import ARCHITECTURE, PR, prctl, syscall

__all__ = ["ALLOWED", "ANSWERED", "CHANGES_FILES", "CONDITIONAL", "SAMPLE", "apply", "program", "reached", "supported"]

_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_COLUMN = {"x86_64": 0, "aarch64": 1}
_NEWEST = 450
"""The first system call number that is newer than this list."""
_EPERM, _EAGAIN, _ENOSYS = 1, 11, 38
_SUCCESS = 0

# fmt: off
ALLOWED: dict[str, tuple[int | None, int | None]] = {
    # name: (x86-64, aarch64); the most frequent calls first
    "read": (0, 63), "write": (1, 64), "munmap": (11, 215), "recvfrom": (45, 207), "sendto": (44, 206),
    "brk": (12, 214), "mremap": (25, 216), "mprotect": (10, 226), "openat": (257, 56), "close": (3, 57),
    "fstat": (5, 80), "newfstatat": (262, 79), "lseek": (8, 62),
    # files: mounts and landlock decide which
    "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67), "pwrite64": (18, 68), "preadv": (295, 69),
    "pwritev": (296, 70), "dup": (32, 23), "dup2": (33, None), "dup3": (292, 24),
    "open": (2, None), "stat": (4, None), "lstat": (6, None), "statx": (332, 291), "access": (21, None),
    "faccessat": (269, 48), "faccessat2": (439, 439), "readlink": (89, None), "readlinkat": (267, 78),
    "getdents": (78, None), "getdents64": (217, 61), "getcwd": (79, 17), "chdir": (80, 49), "fchdir": (81, 50),
    "mkdir": (83, None), "mkdirat": (258, 34), "rmdir": (84, None), "unlink": (87, None), "unlinkat": (263, 35),
    "rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276), "link": (86, None), "linkat": (265, 37),
    "symlink": (88, None), "symlinkat": (266, 36), "truncate": (76, 45), "ftruncate": (77, 46), "chmod": (90, None),
    "fchmod": (91, 52), "fchmodat": (268, 53), "umask": (95, 166), "utimensat": (280, 88), "getxattr": (191, 8),
    "lgetxattr": (192, 9), "fgetxattr": (193, 10), "listxattr": (194, 11), "llistxattr": (195, 12),
    "flistxattr": (196, 13),
    # pipes, event loops, and the connection to the grader
    "pipe": (22, None), "pipe2": (293, 59), "poll": (7, None), "ppoll": (271, 73), "select": (23, None),
    "pselect6": (270, 72), "epoll_create": (213, None), "epoll_create1": (291, 20), "epoll_ctl": (233, 21),
    "epoll_wait": (232, None), "epoll_pwait": (281, 22), "epoll_pwait2": (441, 441), "eventfd": (284, None),
    "eventfd2": (290, 19), "timerfd_settime": (286, 86), "timerfd_gettime": (287, 87), "shutdown": (48, 210),
    "getsockname": (51, 204), "getpeername": (52, 205),
    # threads
    "rseq": (334, 293), "set_robust_list": (273, 99), "sched_yield": (24, 124), "arch_prctl": (158, None),
    # time and signals
    "nanosleep": (35, 101), "gettimeofday": (96, 169), "time": (201, None), "times": (100, 153), "alarm": (37, None),
    "setitimer": (38, 103), "getitimer": (36, 102), "pause": (34, None), "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "rt_sigpending": (127, 136), "rt_sigsuspend": (130, 133),
    "rt_sigtimedwait": (128, 137), "sigaltstack": (131, 132), "restart_syscall": (219, 128),
    # who and where this process is
    "getpid": (39, 172), "getppid": (110, 173), "gettid": (186, 178), "getpgrp": (111, None), "getuid": (102, 174),
    "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177), "getresuid": (118, 148),
    "getresgid": (120, 150), "getgroups": (115, 158), "getrlimit": (97, 163), "uname": (63, 160),
    "getrandom": (318, 278), "wait4": (61, 260), "waitid": (247, 95), "exit": (60, 93), "exit_group": (231, 94),
}
"""System calls that are allowed with any arguments."""

CONDITIONAL: dict[str, tuple[int, int]] = {
    "futex": (202, 98), "mmap": (9, 222), "madvise": (28, 233), "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115), "clock_getres": (229, 114), "timerfd_create": (283, 85), "clone": (56, 220),
    "fcntl": (72, 25), "ioctl": (16, 29), "kill": (62, 129), "tgkill": (234, 131), "prctl": (157, 167),
    "prlimit64": (302, 261), "socketpair": (53, 199), "getsockopt": (55, 209), "sched_getaffinity": (204, 123),
    "getpgid": (121, 155), "getsid": (124, 156), "close_range": (436, 436),
}
"""System calls that are allowed with certain arguments only; see ``_conditions``."""

ANSWERED: dict[str, tuple[int, int, int]] = {
    # name: (x86-64, aarch64, error or 0); the C library falls back after ENOSYS
    "clone3": (435, 435, _ENOSYS), "preadv2": (327, 286, _ENOSYS), "pwritev2": (328, 287, _ENOSYS),
    "futex_waitv": (449, 449, _ENOSYS), "membarrier": (324, 283, _ENOSYS),
    "fsync": (74, 82, _SUCCESS), "fdatasync": (75, 83, _SUCCESS), "msync": (26, 227, _SUCCESS),
}
"""System calls that are never made: the filter answers in place of the kernel."""

SAMPLE: dict[str, tuple[int, int]] = {
    "flock": (73, 32), "fadvise64": (221, 223), "mincore": (27, 232), "readahead": (187, 213), "sysinfo": (99, 179),
    "getrusage": (98, 165), "statfs": (137, 43), "sendmsg": (46, 211), "setsockopt": (54, 208),
    "inotify_init1": (294, 26), "memfd_create": (319, 279), "shmget": (29, 194), "mq_open": (240, 180),
    "keyctl": (250, 219), "splice": (275, 76), "setpriority": (141, 140), "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274), "setrlimit": (160, 164), "process_vm_readv": (310, 270), "pidfd_open": (434, 434),
    "ptrace": (101, 117), "unshare": (272, 97), "mount": (165, 40), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "perf_event_open": (298, 241),
}
"""One system call or more of each kind that is refused, for the test of the sandbox at its start."""
# fmt: on

CHANGES_FILES = ("chmod", "fchmod", "fchmodat", "utimensat", "truncate")
"""Calls that landlock, or its first versions, do not restrict: only the mounts do."""

_THREAD = (0x3D0F00, 0x7D0F00)
"""The flags with which C libraries (GNU, musl) start a thread."""
_FUTEX_PRIVATE, _FUTEX_CLOCK_REALTIME = 128, 256
_FUTEX = (0, 1, 3, 4, 5, 9, 10)
"""Wait, wake, requeue: operations of a futex, all but those that inherit priorities."""
_FUTEX_WAITS, _FUTEX_WAKES = (0, 9), (1, 10)
_MMAP_REFUSED = 0xFC0D2000
"""Flags that lock memory or take it from the machine's store of huge pages, and those that no library sets."""
_MADVISE = (0, 1, 2, 4, 8, 10, 11, 14, 15, 16, 17, 18, 19, 102, 103)
"""Advice on memory of its own; not what reads a file ahead, moves pages out, or merges them with other processes'."""
_CLOCKS = 12
"""Number of clocks; higher numbers are the processor time of any process."""
_FCNTL = (0, 1, 2, 3, 4, 1030)
"""Duplicate a descriptor, and its flags; no locks, leases, signals, seals, hints, or sizes of pipes."""
_SIGNALS = 32
"""Standard signals are below; others are queued, and counted for all processes of a user."""
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""Terminal settings and size; bytes waiting; non-blocking; close on exec."""
_PRCTL = (15, 16, 0x53564D41)
"""Set and get the name of a thread; name a memory area."""
_SOL_SOCKET, _SO_READ = 1, (3, 4, 38, 39)
"""Type, error, protocol and family of a socket."""


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value & 0xFFFFFFFF)


def _load(offset: int) -> bytes:
    return _instruction(0x20, offset)


def _load_argument(number: int) -> bytes:
    """The lower half of an argument: all that the kernel reads of an int."""
    return _load(16 + 8 * number)


def _load_upper(number: int) -> bytes:
    """The upper half of an argument that is a pointer."""
    return _load(20 + 8 * number)


def _mask(value: int) -> bytes:
    return _instruction(0x54, value)


def _skip_unless(value: int, count: int) -> bytes:
    return _instruction(0x15, value, 0, count)


def _skip_below(value: int, count: int) -> bytes:
    return _instruction(0x35, value, 0, count)


_ALLOW = _instruction(0x06, 0x7FFF0000)


def _refuse(error: int) -> bytes:
    return _instruction(0x06, 0x00050000 | error)


def _one_of(values: Iterable[int], verdict: bytes = _ALLOW) -> list[bytes]:
    return [line for value in values for line in (_skip_unless(value, 1), verdict)]


def _below(value: int) -> list[bytes]:
    return [_instruction(0x35, value, 1, 0), _ALLOW]


def _conditions(pid: int) -> dict[str, list[bytes]]:
    """The conditions of system calls that are allowed with certain arguments only."""
    clock = [_load_argument(0), *_below(_CLOCKS)]
    own = [_load_argument(0), *_one_of([0, pid])]
    return {
        # a shared futex on a page of a library is the same one in every process: waking tells how many wait. The C
        # library waits for the end of a thread, and C++ for a static variable, on shared ones: they ask again
        "futex": [
            _load_argument(1),
            _mask(~_FUTEX_CLOCK_REALTIME),
            *_one_of(operation | _FUTEX_PRIVATE for operation in _FUTEX),
            *_one_of(_FUTEX_WAITS, _refuse(_EAGAIN)),
            *_one_of(_FUTEX_WAKES, _refuse(_SUCCESS)),
        ],
        "mmap": [_load_argument(3), _mask(_MMAP_REFUSED), *_one_of([0])],
        "madvise": [_load_argument(2), *_one_of(_MADVISE)],
        # without a table of descriptors of its own, to which the limit would apply again
        "close_range": [_load_argument(2), *_one_of([0])],
        **dict.fromkeys(("clock_gettime", "clock_nanosleep", "clock_getres", "timerfd_create"), clock),
        # a thread inherits this filter; a process is refused
        "clone": [_load_argument(0), *_one_of(_THREAD)],
        "fcntl": [_load_argument(1), *_one_of(_FCNTL)],
        "ioctl": [_load_argument(1), *_one_of(_IOCTL)],
        # itself or its own group, however written
        "kill": [_load_argument(0), *_if_one_of([pid, 0, -pid], [_load_argument(1), *_below(_SIGNALS)])],
        "tgkill": [_load_argument(0), *_if_one_of([pid], [_load_argument(2), *_below(_SIGNALS)])],
        "prctl": [_load_argument(0), *_one_of(_PRCTL)],
        # its own limits, to be read: the pointer to new ones is null
        "prlimit64": [
            _load_argument(0),
            *_if_one_of([0, pid], [_load_argument(2), _skip_unless(0, 3), _load_upper(2), *_one_of([0])]),
        ],
        # AF_UNIX streams, as asyncio wants them; a pair of datagrams could write to any other socket
        "socketpair": [_load_argument(0), _skip_unless(1, 4), _load_argument(1), _mask(0xF), *_one_of([1])],
        "getsockopt": [
            _load_argument(1),
            *_if_one_of([_SOL_SOCKET], [_load_argument(2), *_one_of(_SO_READ)]),
        ],
        # other numbers would tell which processes and threads there are
        **dict.fromkeys(("sched_getaffinity", "getpgid", "getsid"), own),
    }


def _if_one_of(values: Sequence[int], then: list[bytes]) -> list[bytes]:
    """Go on with ``then`` if the loaded value is one of ``values``; else after it, where the call is refused."""
    lines = [
        _instruction(0x15, value, len(values) - 1 - index, 0 if index + 1 < len(values) else len(then))
        for index, value in enumerate(values)
    ]
    return [*lines, *then]


def supported() -> bool:
    """Whether there is a list for this machine's architecture."""
    return ARCHITECTURE in _AUDIT


def program(pid: int, architecture: str = ARCHITECTURE, without: Sequence[str] = ()) -> bytes:
    """The filter for the process ``pid``, which may send signals to itself only; ``without`` calls that are listed."""
    column = _COLUMN[architecture]
    # the numbers have other meanings in 32-bit calls on the same machine
    lines = [_load(4), _instruction(0x15, _AUDIT[architecture], 1, 0), _refuse(_EPERM), _load(0)]
    # first what the kernel decides again at each call; it remembers what is allowed with any arguments (Linux 5.11)
    for name, block in _conditions(pid).items():
        lines += [_skip_unless(CONDITIONAL[name][column], len(block) + 1), *block, _refuse(_EPERM)]
    return b"".join(lines) + _listed(architecture, tuple(without))


@functools.cache
def _listed(architecture: str, without: tuple[str, ...]) -> bytes:
    """The part of a filter that is the same for every process; computed in 0.2 ms, so once, not in each child."""
    column = _COLUMN[architecture]
    lines = []
    for name, row in ALLOWED.items():
        number = row[column]
        if number is not None and name not in without:
            lines += _one_of([number])
    for *numbers, answer in ANSWERED.values():
        lines += _one_of([numbers[column]], _refuse(answer))
    lines += [_skip_below(_NEWEST, 1), _refuse(_ENOSYS), _refuse(_EPERM)]
    return b"".join(lines)


def reached() -> list[str]:
    """The calls that this process must not make, or not with these arguments, and that get as far as the kernel."""
    column = _COLUMN[ARCHITECTURE]
    return [name for name, row in {**SAMPLE, **CONDITIONAL}.items() if _reaches(row[column])]


def _reaches(number: int) -> bool:
    try:
        # arguments that are never right: the kernel says so, and nothing is done
        syscall(number, *[-1] * 6)
    except OSError as error:
        return error.errno not in (_EPERM, _ENOSYS)
    return True


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def apply(compiled: bytes) -> None:
    """Apply the filter to this process, for good; it must not be able to gain privileges (OSError)."""
    buffer = ctypes.create_string_buffer(compiled, len(compiled))
    packed = _Program(len(compiled) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    prctl(PR.SET_SECCOMP, 2, ctypes.byref(packed))
