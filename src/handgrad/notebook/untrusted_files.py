"""Files that somebody else put into a folder: opened without following a link, regular files only, within limits.

Whatever is read of a submission is read here. Every part of a path below the trusted folder is opened relative to the
descriptor of the one above it, so that nothing can be exchanged for a link between a look and the opening. Where the
system has no such calls (Windows), each part is looked at first, and the file that was opened is compared with it.
"""

import fnmatch
import functools
import itertools
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from handgrad.errors import SubmissionError

__all__ = [
    "DEEPEST",
    "MAX_BYTES",
    "MOST_ENTRIES",
    "Entry",
    "UntrustedFile",
    "copy_file",
    "escaped",
    "folder_status",
    "in_quotes",
    "is_configuration",
    "links_in",
    "read_file",
    "walk",
]

MAX_BYTES = 1 << 27
"""Bytes of the largest file that is read (128 MiB): enough for plots and tables, but does not fill the memory."""
MOST_ENTRIES = 20_000
"""Maximum number of files and folders that are listed: a student may submit a whole environment."""
DEEPEST = 20
"""Maximum depth of folders: each open one takes a descriptor."""
LONGEST_QUOTE = 60
"""Characters that a message quotes of a name or of a file's content."""
_CHUNK = 1 << 20
_JUNCTION = 0xA0000003
_HAS_DESCRIPTORS = hasattr(os, "O_NOFOLLOW") and hasattr(os, "O_DIRECTORY") and os.open in os.supports_dir_fd
"""Whether a file can be opened relative to the descriptor of its folder."""
_FILE = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_BINARY"))
_FOLDER = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_DIRECTORY"))

_CONFIGURATION = (
    # Python: at its start, and modules and packages in place of those that the grader imports
    *("sitecustomize*", "usercustomize*", "*.pth", "*.egg-link", "*.pyc", "*.so", "*.pyd", "*.dll", "*.dylib"),
    *("pyvenv.cfg", "__init__.py", "__main__.py", "__pycache__", "site-packages", ".pythonrc*", ".pythonstartup*"),
    *(
        f"{module}.py"
        for module in ("torch", "numpy", "handgrad", "matplotlib", "ipython", "nbgrader", "nbformat", "nbconvert")
    ),
    # Jupyter, IPython, nbgrader: nbgrader_config.py, jupyter_server_config.json, .ipython
    *("*_config.py", "*_config.json", "*_config.d", "kernel.json", ".jupyter", ".ipython", "gradebook.db*"),
    # this project's own
    *("exercise.json", "handgrad.json", ".handgrad", ".handgrad-progress.json*"),
    # tests and tools
    *("conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini", "noxfile.py"),
    *("pyproject.toml", "setup.py", "setup.cfg", "matplotlibrc", ".matplotlibrc", "*.mplstyle", "alembic.ini"),
    *("makefile", "gnumakefile", ".env", ".envrc", "pip.conf", "pip.ini", ".condarc", ".pdbrc", ".coveragerc"),
    *(".git", ".gitconfig", ".gitattributes", ".gitmodules", ".vscode", ".idea", ".bash*", ".profile", ".zsh*"),
)
"""Names, in lower case, that :func:`is_configuration` matches."""

Kind = Literal["file", "folder", "link", "special"]


@dataclass(frozen=True)
class UntrustedFile:
    """The bytes of a file, and the facts about exactly the file that was read."""

    content: bytes
    status: os.stat_result


@dataclass(frozen=True)
class Entry:
    """What a folder holds: its path in the folder, what it is, and the facts about it."""

    path: PurePath
    kind: Kind
    status: os.stat_result


@functools.lru_cache(maxsize=1024)
def is_configuration(name: str) -> bool:
    """Whether some program would take a file or folder of this name for its own configuration or code.

    A course's commands, Python, Jupyter, pytest and the like pick these up in the folder in which they are started.
    """
    plain = name.strip().rstrip(".").casefold()
    return any(fnmatch.fnmatchcase(plain, pattern) for pattern in _CONFIGURATION)


def in_quotes(text: str, most: int = LONGEST_QUOTE) -> str:
    """``text`` for a message: short, in quotation marks, with escapes for everything that a terminal might obey."""
    return repr(text if len(text) <= most else f"{text[:most]}...")


def escaped(path: PurePath) -> str:
    """A path for a message: escaped only if it has characters that cannot be printed."""
    text = str(path)
    return text if text.isprintable() else repr(text)[1:-1]


def read_file(path: Path, inside: Path | None = None, most: int = MAX_BYTES) -> UntrustedFile:
    """Read the regular file at ``path``, if it has at most ``most`` bytes; a pipe or a device is not opened.

    Parameters
    ----------
    inside
        The trusted folder, which may itself be reached through links; nothing below it is followed if it is a link
        (default: the file is the user's own, and links are followed). Give it for submissions.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    SubmissionError
        It is a link or no regular file, lies in a link, is too large, or cannot be read; the message names it.
    """
    with _opened(path, inside) as descriptor:
        _require_regular_file(path, os.fstat(descriptor), most)
        content = b"".join(_chunks(descriptor, path, most))
        return UntrustedFile(content, os.fstat(descriptor))


def copy_file(path: Path, inside: Path, target: Path, most: int = MAX_BYTES, mode: int = 0o600) -> os.stat_result:
    """Copy a file to ``target``, which must not exist, with the permissions ``mode``; the facts about what was read.

    Parameters and errors are those of :func:`read_file`; an OSError is about ``target``.
    """
    with _opened(path, inside) as descriptor:
        _require_regular_file(path, os.fstat(descriptor), most)
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as copy:
            try:
                for chunk in _chunks(descriptor, path, most):
                    copy.write(chunk)
            except SubmissionError:
                target.unlink()
                raise
        return os.fstat(descriptor)


def folder_status(folder: Path, inside: Path) -> os.stat_result:
    """The facts about ``folder``; errors are those of :func:`read_file`, and a file is one."""
    with _opened_folder(folder, inside) as descriptor:
        status = folder.lstat() if descriptor is None else os.fstat(descriptor)
    if not stat.S_ISDIR(status.st_mode):
        raise SubmissionError(f"{escaped(folder)} cannot be read: it is not a folder.")
    return status


def walk(folder: Path, inside: Path | None = None, enter: Callable[[str], bool] = lambda name: True) -> Iterator[Entry]:
    """What ``folder`` and its subfolders hold, without following a link; a folder before what is in its subfolders.

    Names are in order. At most 20,000 entries are given, from at most 20 levels; a subfolder that cannot be opened, or
    that is not to be entered by its name, has no entries. ``inside`` and errors are as for :func:`read_file`.
    """
    with _opened_folder(folder, inside) as descriptor:
        yield from itertools.islice(_walk(descriptor, folder, PurePath(), DEEPEST, enter), MOST_ENTRIES)


def links_in(folder: Path, inside: Path | None = None) -> str:
    """A sentence that names the links in a folder; empty if there are none, or if there is no such folder."""
    try:
        links = [escaped(entry.path) for entry in walk(folder, inside) if entry.kind == "link"]
    except (OSError, SubmissionError):
        return ""
    if not links:
        return ""
    more = f" and {len(links) - 3} more" if len(links) > 3 else ""
    return f"Links are not followed: {', '.join(links[:3])}{more}."


def _walk(
    descriptor: int | None, folder: Path, inside: PurePath, levels: int, enter: Callable[[str], bool]
) -> Iterator[Entry]:
    here, below = folder / inside, []
    with os.scandir(here if descriptor is None else descriptor) as found:
        names = sorted(entry.name for entry in itertools.islice(found, MOST_ENTRIES))
    for name in names:
        try:
            status = _status(name, descriptor, here)
        except OSError:
            continue
        kind = _kind(status)
        yield Entry(inside / name, kind, status)
        if kind == "folder" and levels > 1 and enter(name):
            below.append(name)
    for name in below:
        # one that is not open to this user, or has just been replaced, has no entries
        with suppress(OSError, SubmissionError), _opened_below(descriptor, name, here) as inner:
            yield from _walk(inner, folder, inside / name, levels - 1, enter)


@contextmanager
def _opened_below(descriptor: int | None, name: str, folder: Path) -> Iterator[int | None]:
    if descriptor is None:
        _require_openable(folder / name, (folder / name).lstat(), _FOLDER)
        yield None
        return
    below = _open_below(descriptor, name, folder, _FOLDER)
    try:
        yield below
    finally:
        os.close(below)


def _kind(status: os.stat_result) -> Kind:
    # a junction of Windows leads elsewhere like a link
    if stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == _JUNCTION:
        return "link"
    if stat.S_ISDIR(status.st_mode):
        return "folder"
    return "file" if stat.S_ISREG(status.st_mode) else "special"


def _status(name: str, descriptor: int | None, folder: Path) -> os.stat_result:
    if descriptor is None:
        return (folder / name).lstat()
    return os.stat(name, dir_fd=descriptor, follow_symlinks=False)


@contextmanager
def _opened_folder(folder: Path, inside: Path | None) -> Iterator[int | None]:
    """A descriptor of a folder; None where folders have none."""
    if _HAS_DESCRIPTORS:
        with _opened(folder, inside, _FOLDER) as descriptor:
            yield descriptor
        return
    path = inside or folder
    for name in folder.relative_to(path).parts:
        path /= name
        _require_openable(path, path.lstat(), _FOLDER)
    yield None


@contextmanager
def _opened(path: Path, inside: Path | None, flags: int = _FILE) -> Iterator[int]:
    """A descriptor of the file or folder at ``path``, of which no part below ``inside`` is a link."""
    try:
        descriptor = _open(path, inside, flags)
    except FileNotFoundError:
        raise
    except (OSError, RuntimeError) as error:
        raise SubmissionError(f"{escaped(path)} cannot be read: {getattr(error, 'strerror', '') or error}.") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open(path: Path, inside: Path | None, flags: int) -> int:
    follow = ~getattr(os, "O_NOFOLLOW", 0)
    if inside is None:
        # the user's own file; a pipe must not be waited for, nor a device opened
        _require_openable(path, path.stat(), flags)
        return os.open(path, flags & follow)
    parts = path.relative_to(inside).parts
    if os.pardir in parts:
        raise SubmissionError(f"{escaped(path)} is not read: it leads out of {escaped(inside)}.")
    if not _HAS_DESCRIPTORS:
        return _open_by_name(inside, parts)
    descriptor, above = os.open(inside, (_FOLDER if parts else flags) & follow), inside
    for number, name in enumerate(parts, start=1):
        try:
            below = _open_below(descriptor, name, above, flags if number == len(parts) else _FOLDER)
        finally:
            os.close(descriptor)
        descriptor, above = below, above / name
    return descriptor


def _open_below(descriptor: int, name: str, folder: Path, flags: int) -> int:
    """A descriptor of ``name`` in the ``folder`` that is open; a link is a SubmissionError."""
    _require_openable(folder / name, _status(name, descriptor, folder), flags)
    try:
        return os.open(name, flags, dir_fd=descriptor)
    except OSError:
        # it may have become a link since
        _require_openable(folder / name, _status(name, descriptor, folder), flags)
        raise


def _open_by_name(inside: Path, parts: Sequence[str]) -> int:
    """A descriptor of a file, where a folder has none: every part is looked at, and the file once more when open."""
    path = inside
    for number, name in enumerate(parts, start=1):
        path /= name
        _require_openable(path, path.lstat(), _FILE if number == len(parts) else _FOLDER)
    before, descriptor = path.lstat(), os.open(path, _FILE)
    if not os.path.samestat(before, os.fstat(descriptor)):
        os.close(descriptor)
        raise SubmissionError(f"{escaped(path)} is not read: it was replaced while it was read.")
    return descriptor


def _require_openable(path: Path, status: os.stat_result, flags: int) -> None:
    if _kind(status) == "link":
        raise SubmissionError(f"{escaped(path)} is a link and is not read: what it leads to must itself be handed in.")
    if flags != _FOLDER:
        _require_regular_file(path, status, None)


def _require_regular_file(path: Path, status: os.stat_result, most: int | None) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise SubmissionError(f"{escaped(path)} cannot be read: it is a folder, not a file.")
    if not stat.S_ISREG(status.st_mode):
        raise SubmissionError(f"{escaped(path)} cannot be read: it is a pipe, a socket or a device, not a file.")
    if most is not None and status.st_size > most:
        raise SubmissionError(
            f"{escaped(path)} is not read: it has {_size(status.st_size)}, and may have {_size(most)}. "
            "Make it smaller and hand it in again."
        )


def _size(size: int) -> str:
    return f"{size >> 20:,} MiB" if size >> 20 else f"{size:,} bytes"


def _chunks(descriptor: int, path: Path, most: int) -> Iterator[bytes]:
    """The content of an open file, which may grow while it is read."""
    left = most
    while chunk := os.read(descriptor, min(_CHUNK, left + 1)):
        left -= len(chunk)
        if left < 0:
            raise SubmissionError(f"{escaped(path)} is not read: it has more than {_size(most)}.")
        yield chunk
