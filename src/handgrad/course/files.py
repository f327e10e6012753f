"""Write files in one step, and folders for nobody else; read a csv."""

import csv
import io
import os
import tempfile
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from handgrad.errors import CourseError

__all__ = ["LARGEST_CSV", "csv_rows", "make_folder", "make_private_file", "private_mode", "write_bytes", "write_text"]

LARGEST_CSV = 10_000_000
"""Bytes of the largest csv file that is read."""


def make_folder(path: Path, *, shared: bool = False) -> None:
    """Make a folder, and those above it that are missing, for this user only; if ``shared``, for the group too.

    A folder that is there is left as it is; errors are those of :meth:`Path.mkdir`.
    """
    missing = list(takewhile(lambda folder: not folder.is_dir(), (path, *path.parents)))
    for folder in reversed(missing):
        folder.mkdir(0o700, exist_ok=True)
        if shared:
            folder.chmod(0o2770)


def private_mode(folder: Path) -> int:
    """Permissions of a new file that only those may read who may enter ``folder``: its owner, or a group too."""
    return 0o600 | (folder.stat().st_mode & 0o060)


def make_private_file(path: Path, mode: int = 0o600) -> None:
    """Make an empty file with the permissions ``mode``; one that is there is closed to others, if it is this user's.

    What opens the file by its name afterwards would make it with the permissions that the shell allows.
    """
    with suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), mode))
        now = path.stat().st_mode
        if now & 0o007:
            # a group that may write was meant to; one that may only read has that from the shell
            path.chmod(now & (0o770 if now & 0o020 else 0o700))


def write_text(path: Path, text: str, *, replace: bool = True, mode: int = 0o644) -> None:
    """Write ``text`` to ``path`` in one step, in UTF-8; parameters and errors are those of :func:`write_bytes`."""
    write_bytes(path, text.encode("utf-8"), replace=replace, mode=mode)


def write_bytes(path: Path, content: bytes, *, replace: bool = True, mode: int = 0o644) -> None:
    """Write ``content`` to ``path`` in one step: never half, even if the process is killed.

    With ``replace=False`` an existing file is left as it is; ``mode`` are the file's permissions, never more before.
    A device or a pipe is written to, and stays one. What cannot be written is a CourseError.
    """
    try:
        # a device or a pipe, such as /dev/null, must not be replaced by a file, which root could do
        if replace and path.exists() and not path.is_file():
            path.write_bytes(content)
            return
    except OSError as error:
        raise CourseError(f"{path} cannot be written: {error.strerror}.") from error
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    except OSError as error:
        raise CourseError(f"{path} cannot be written ({error.strerror}): is {path.parent} writable?") from error
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        temporary.chmod(mode)
        if replace:
            temporary.replace(path)
        else:
            with suppress(FileExistsError):
                os.link(temporary, path)
    except OSError as error:
        raise CourseError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        temporary.unlink(missing_ok=True)


def csv_rows(text: str) -> "csv.DictReader[str]":
    """The lines of a csv by their headings; separated by commas, semicolons or tabs, as the first line has most of."""
    heading = text.partition("\n")[0]
    return csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=heading.count))
