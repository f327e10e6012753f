"""Who besides the instructor can enter a course's folder, or has a file of it open, as far as the system says so."""

import os
import shlex
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from handgrad.course.course import Course
from handgrad.report.names import shown

__all__ = ["Visitors", "account_name", "holders", "visitors"]

LONGEST = 80
"""Characters of a command that are told."""
PROCESSES = Path("/proc")


@dataclass(frozen=True)
class Visitors:
    """Who can enter a course's folder, in words, and what to do about it."""

    who: str
    remedy: str


def visitors(course: Course) -> Visitors | None:
    """Who can enter the folder of ``course`` besides its owner; None if nobody can, or that cannot be told.

    A course that instructors share by a group (``c.CourseDirectory.groupshared``) is open to that group. Root can enter
    everything, and access lists are not looked at.
    """
    if os.name != "posix":
        return None
    root = course.root.resolve()
    try:
        above = [folder.stat().st_mode for folder in root.parents]
        status = root.stat()
    except OSError:
        return None
    shared = course.is_shared
    if status.st_mode & 0o005 and all(mode & stat.S_IXOTH for mode in above):
        who = "everybody on this machine"
    elif status.st_mode & 0o050 and not shared and all(mode & 0o011 for mode in above) and (group := _others(status)):
        who = group
    else:
        return None
    command = f"chmod {'o' if shared else 'go'}-rwx {shlex.quote(str(root))}"
    if os.geteuid() not in (0, status.st_uid):
        return Visitors(who, f"ask {account_name(status.st_uid)}, who owns it, to run: {command}")
    return Visitors(who, f"to close it, run: {command}")


def _others(status: os.stat_result) -> str:
    """The group of a folder, if it has members besides the folder's owner; else empty."""
    import grp  # noqa: PLC0415 - Windows has none

    with suppress(KeyError):
        group, owner = grp.getgrgid(status.st_gid), account_name(status.st_uid)
        # most systems give each user a group of the same name
        if group.gr_name == owner and not {*group.gr_mem} - {owner}:
            return ""
        return f"the group {group.gr_name}"
    return ""


def account_name(uid: int) -> str:
    """The name of an account; its number if it has no name."""
    import pwd  # noqa: PLC0415 - Windows has none

    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return f"the user {uid}"


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
