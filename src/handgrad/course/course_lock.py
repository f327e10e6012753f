"""Let one command at a time change a course; another one waits, and is told who is at work."""

import getpass
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from handgrad.course.course import Course
from handgrad.course.files import private_mode, write_text
from handgrad.errors import CourseError
from handgrad.report.names import shown

__all__ = ["account", "alone"]

LOG = logging.getLogger("handgrad")
"""Where it is said that a command waits; it is printed to standard error, unless the command is to be quiet."""
LOCK, HOLDER = "grading.lock", "grading.json"
"""Files in the course's private folder: the lock, and who has it. The second may be left by a process that died."""
LONGEST = 200
"""Characters of a command that are told."""
LARGEST = 10_000
"""Bytes of the largest file that is read as the holder."""


@contextmanager
def alone(course: Course) -> Iterator[None]:
    """Let no other command change this course; if one does, wait for it.

    If it has not finished after ``c.Handgrad.wait_seconds``, that is a CourseError, which says who it is.
    """
    folder = course.private_folder
    lock = FileLock(folder / LOCK, mode=private_mode(folder))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        _wait(course, lock, folder / HOLDER)
    try:
        with suppress(CourseError):
            write_text(folder / HOLDER, json.dumps(_own()) + "\n", mode=private_mode(folder))
        yield
    finally:
        with suppress(OSError):
            (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def _wait(course: Course, lock: FileLock, holder: Path) -> None:
    seconds = course.wait_seconds
    # who has the lock writes down at once who they are
    time.sleep(min(0.1, seconds))
    who = f"{_described(holder)} in {course.root}"
    if seconds:
        LOG.warning("%s: waiting up to %g seconds.", who, seconds)
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        raise CourseError(
            f"{_described(holder)} in {course.root}, and has not finished after {seconds:g} seconds: run this again "
            "when it has. (c.Handgrad.wait_seconds says how long to wait.)"
        ) from None


def _own() -> dict[str, object]:
    """Who this process is."""
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:LONGEST]
    return {
        "schema": 1,
        "user": account(),
        "host": socket.gethostname(),
        "process": os.getpid(),
        "command": command,
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def account() -> str:
    """The name of the account that runs this process."""
    try:
        return getpass.getuser()
    # it may have no name
    except (KeyError, OSError, ImportError):
        return str(os.getuid()) if hasattr(os, "getuid") else "somebody"


def _described(path: Path) -> str:
    """Who has the lock, as far as the file says so, and what they do: the beginning of a sentence."""
    try:
        with path.open("rb") as file:
            facts = json.loads(file.read(LARGEST))
        command, user, host = (shown(str(facts[name])) for name in ("command", "user", "host"))
        process, since = int(facts["process"]), datetime.fromisoformat(facts["since"])
    except (OSError, ValueError, KeyError, TypeError):
        return "another command is at work"
    here = host == shown(socket.gethostname())
    if here and not _is_alive(process):
        # its file was left by a process that died
        return "another command is at work"
    place = "" if here else f" on {host}"
    return f"`{command}` of {user} (process {process}{place}, since {since:%Y-%m-%d %H:%M:%S}) is at work"


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
