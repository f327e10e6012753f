"""Linux system calls that Python does not offer; each raises OSError if it fails."""

import ctypes
import functools
import os
import platform
import re
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = [
    "ARCHITECTURE",
    "PR",
    "adopting",
    "drop_capabilities",
    "mount",
    "own_memory",
    "prctl",
    "return_memory",
    "syscall",
    "umount",
    "use_huge_pages",
]

ARCHITECTURE = {"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
"""This machine's architecture, as the kernel names it."""

_CAPABILITY_VERSION_3 = 0x20080522
_HUGE = 1 << 21
"""Bytes of a huge page."""
_ENDING_SECONDS = 5.0
"""Seconds after which processes that cannot be ended are left."""
_MADV_HUGEPAGE, _MADV_COLLAPSE = 14, 25
_WRITABLE = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw.p \S+ \S+ 0 *(?:\[heap\])?$", re.MULTILINE)
"""A range of memory in /proc/self/maps that is private and not mapped from a file."""


class PR:
    """Options of prctl."""

    SET_PDEATHSIG = 1
    SET_KEEPCAPS = 8
    SET_SECCOMP = 22
    SET_CHILD_SUBREAPER = 36
    SET_NO_NEW_PRIVS = 38
    CAP_AMBIENT = 47
    CAP_AMBIENT_CLEAR_ALL = 4


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _plain(value: Any) -> Any:
    """An argument of a variadic C function, which must be a whole word."""
    return ctypes.c_long(value) if isinstance(value, int) else value


def syscall(number: int, *arguments: Any) -> int:
    """Make the system call ``number``."""
    return _checked(_libc().syscall(*map(_plain, (number, *arguments))), f"system call {number}")


def prctl(option: int, *arguments: Any) -> int:
    """Call prctl for this process; ``option`` is one of :class:`PR`."""
    arguments = (*arguments, 0, 0, 0, 0)[:4]
    return _checked(_libc().prctl(*map(_plain, (option, *arguments))), f"prctl {option}")


@contextmanager
def adopting() -> Iterator[None]:
    """Adopt each process that outlives its parent, and end all children that are left on exit, however they started.

    For a process that has no other children of its own. Without isolation a submission can start processes in sessions
    of their own, which would go on writing when its marks are written. On other systems than Linux nothing is done.
    """
    if sys.platform != "linux":
        yield
        return
    with suppress(OSError):
        prctl(PR.SET_CHILD_SUBREAPER, 1)
    before = _children()
    try:
        yield
    finally:
        end = time.monotonic() + _ENDING_SECONDS
        # what they start meanwhile is adopted in turn
        while (left := _children() - before) and time.monotonic() < end:
            for pid in left:
                with suppress(ProcessLookupError, PermissionError, ChildProcessError):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, os.WNOHANG)
            time.sleep(0.001)
        with suppress(OSError):
            prctl(PR.SET_CHILD_SUBREAPER, 0)


def _children() -> set[int]:
    """The children of this process; none if the kernel does not list them."""
    found = set()
    for path in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            found |= set(map(int, path.read_text(encoding="ascii").split()))
    return found


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Mount ``source`` at ``target``."""
    encoded = [None if text is None else text.encode() for text in (source, target, kind, data)]
    _checked(_libc().mount(*encoded[:3], ctypes.c_ulong(flags), encoded[3]), f"mounting {target}")


def umount(target: str, flags: int) -> None:
    """Unmount ``target``."""
    _checked(_libc().umount2(target.encode(), flags), f"unmounting {target}")


def drop_capabilities(*kept: int) -> None:
    """Give up every capability but ``kept``, which this process must have."""
    words = [sum(1 << (number % 32) for number in kept if number // 32 == word) for word in (0, 1)]
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    # effective, permitted, inheritable: for the lower 32 capabilities, then for the upper
    data = (ctypes.c_uint32 * 6)(words[0], words[0], 0, words[1], words[1], 0)
    prctl(PR.CAP_AMBIENT, PR.CAP_AMBIENT_CLEAR_ALL)
    _checked(_libc().capset(header, data), "giving up capabilities")


def own_memory() -> list[tuple[int, int]]:
    """The address ranges of this process's private memory that are not mapped from files; it needs /proc."""
    found = _WRITABLE.findall(Path("/proc/self/maps").read_text(encoding="utf-8"))
    return [(int(first, 16), int(last, 16)) for first, last in found]


def return_memory() -> None:
    """Give the memory back to the system that this process has freed and its allocator has kept; only glibc's does."""
    if sys.platform == "linux" and (trim := getattr(_libc(), "malloc_trim", None)):
        trim(ctypes.c_size_t(0))


def use_huge_pages(ranges: Iterable[tuple[int, int]]) -> None:
    """Ask the kernel to put ``ranges`` of memory into huge pages, as far as possible (Linux 6.1 or newer).

    A fork copies one entry per page, and the end of a child frees it: a huge page replaces 512 small ones.
    """
    for first, last in ranges:
        for address in range(-(-first // _HUGE) * _HUGE, last // _HUGE * _HUGE, _HUGE):
            for advice in (_MADV_HUGEPAGE, _MADV_COLLAPSE):
                _libc().madvise(ctypes.c_void_p(address), ctypes.c_size_t(_HUGE), advice)
