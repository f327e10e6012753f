"""Memory and descriptors of a process and its descendants, read from /proc; Linux only."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["children", "descriptors", "family", "processor_seconds", "proportional_memory"]

PROC = Path("/proc")


def children(pid: int) -> set[int]:
    """The processes whose parent is ``pid``."""
    return {process for process, parent in _parents() if parent == pid}


def family(pid: int) -> list[int]:
    """The process and its descendants."""
    started: dict[int, list[int]] = {}
    for process, parent in _parents():
        started.setdefault(parent, []).append(process)
    members = [pid]
    for process in members:
        members.extend(started.get(process, ()))
    return members


def _parents() -> Iterator[tuple[int, int]]:
    """Every process with its parent."""
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            # it may have ended meanwhile
            with suppress(OSError):
                yield int(folder.name), int(_facts(folder.name)[1])


def _facts(pid: int | str) -> list[str]:
    """What the system says of a process: its state, its parent, and so on; an OSError if it has ended."""
    # its name, in brackets, comes before, and may hold anything
    return (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()


def proportional_memory(pid: int) -> int:
    """Proportional set size (PSS) of a process in bytes; 0 if it has ended or is not readable."""
    with suppress(OSError):
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def processor_seconds(pid: int) -> float:
    """CPU seconds (user and system) of a process and its descendants, those that have ended among them."""
    ticks = 0
    for process in family(pid):
        # it may have ended meanwhile
        with suppress(OSError):
            ticks += sum(map(int, _facts(process)[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def descriptors(pid: int) -> int:
    """Number of open descriptors of a process; 0 if it has ended or is not readable."""
    with suppress(OSError):
        return len(os.listdir(PROC / str(pid) / "fd"))  # noqa: PTH208 - only their number is wanted
    return 0
