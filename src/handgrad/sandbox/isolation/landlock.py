"""Landlock: what a process may still do with files, with TCP and with signals, kept by the kernel for good."""

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
"""The rights that make sense for a file; the kernel refuses a rule for a file that names others."""
_EXECUTE = 1
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Number of rights over files that each version of landlock knows; later versions know as many as 5."""


def version() -> int:
    """The kernel's version of landlock; 0 where it has none."""
    try:
        return syscall(_CREATE, None, 0, 1)
    except OSError:
        return 0


def ruleset(readable: Iterable[Path], writable: Iterable[Path]) -> int:
    """A descriptor of rules: read beneath ``readable``, read and write beneath ``writable``, nothing else.

    TCP is refused from version 4 on, signals and abstract sockets to processes outside from version 6 on. Paths
    that are not there are left out.

    Raises
    ------
    OSError
        The kernel has no landlock.
    """
    abi = version()
    known = (1 << _FILE_RIGHTS.get(abi, 16)) - 1
    attributes = struct.pack("<QQQ", known, 0b11, 0b11)[: 8 if abi < 4 else 16 if abi < 6 else 24]
    rules = syscall(_CREATE, attributes, len(attributes), 0)
    for path in readable:
        _allow(rules, path, _READ_FILE | _READ_FOLDER)
    for path in writable:
        # nothing is ever to be executed, and no device is to be asked for more than its bytes
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
    """Put ``rules`` on this process, for good.

    Raises
    ------
    OSError
        This process may still gain privileges.
    """
    syscall(_RESTRICT, rules, 0)
