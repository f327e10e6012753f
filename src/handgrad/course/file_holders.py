"""Which processes have a file open, as far as the system lets this user see it."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from handgrad.report.names import shown

__all__ = ["holders"]

LONGEST = 80
"""Characters of a command that are told."""
PROCESSES = Path("/proc")


def holders(path: Path) -> list[str]:
    """The other processes that have a database at ``path``, or its journal, open, in words; none if it is not known."""
    wanted = {str(path.resolve()) + suffix for suffix in ("", "-journal", "-wal", "-shm")}
    found = []
    for folder in sorted(PROCESSES.glob("[0-9]*"), key=lambda folder: int(folder.name)):
        if int(folder.name) != os.getpid() and wanted.intersection(_opened(folder)):
            found.append(f"process {folder.name} of {_user(folder)}: {_command(folder)}")
    return found


def _opened(folder: Path) -> Iterable[str]:
    """The paths of the files that a process has open; nothing if it is another user's."""
    with suppress(OSError):
        for link in (folder / "fd").iterdir():
            with suppress(OSError):
                yield str(link.readlink())


def _user(folder: Path) -> str:
    with suppress(KeyError, OSError):
        return shown(folder.owner())
    return "somebody"


def _command(folder: Path) -> str:
    with suppress(OSError):
        words = (folder / "cmdline").read_bytes().split(b"\0")
        return shown(" ".join(word.decode("utf-8", "replace") for word in words).strip()[:LONGEST])
    return "unknown"
