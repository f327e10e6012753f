"""Landlock: restrict the files, TCP and signals of a process, for good. What the kernel refuses is an OSError."""

import os
import stat
import struct
from collections.abc import Iterable
from pathlib import Path

from handgrad.sandbox.isolation.linux import syscall

__all__ = ["restrict", "ruleset", "version"]

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_READ_FILE, _READ_FOLDER = 1 << 2, 1 << 3
_WRITE_FILE, _TRUNCATE, _DEVICE = 1 << 1, 1 << 14, 1 << 15
_OF_A_FILE = 1 | _READ_FILE | _WRITE_FILE | _TRUNCATE | _DEVICE
"""The rights that apply to a file; the kernel refuses a rule for a file with others."""
_EXECUTE = 1
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Number of file rights in each version of landlock; later versions have as many as 5."""


def version() -> int:
    """The kernel's version of landlock; 0 if it has none."""
    try:
        return syscall(_CREATE, None, 0, 1)
    except OSError:
        return 0


def ruleset(readable: Iterable[Path], writable: Iterable[Path]) -> int:
    """A descriptor of rules: read beneath ``readable``, read and write beneath ``writable``, nothing else.

    TCP is refused from version 4 on; signals and abstract sockets to outside processes from version 6 on. Missing paths
    are skipped.
    """
    abi = version()
    known = (1 << _FILE_RIGHTS.get(abi, 16)) - 1
    attributes = struct.pack("<QQQ", known, 0b11, 0b11)[: 8 if abi < 4 else 16 if abi < 6 else 24]
    rules = syscall(_CREATE, attributes, len(attributes), 0)
    for path in readable:
        _allow(rules, path, _READ_FILE | _READ_FOLDER)
    for path in writable:
        # nothing may be executed, and devices may only be read and written
        _allow(rules, path, known & ~_EXECUTE & ~_DEVICE)
    return rules


def _allow(rules: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _OF_A_FILE
        syscall(_ADD, rules, 1, struct.pack("<Qi", rights, descriptor), 0)
    finally:
        os.close(descriptor)


def restrict(rules: int) -> None:
    """Put ``rules`` on this process, for good; it must not be able to gain privileges."""
    syscall(_RESTRICT, rules, 0)
