"""The files that the cells of a notebook may open: those that lie beside it."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from handgrad.errors import SubmissionError
from handgrad.notebook.untrusted_files import read_file

__all__ = ["files_beside"]

MAX_FILE, MAX_FILES, MOST_FILES = 1 << 25, 1 << 27, 200
"""Bytes of the largest file beside a notebook that is taken into the sandbox, of all of them, and their number."""
MOST_FOLDERS, MOST_SEEN = 200, 5_000
"""Folders beside a notebook that are looked into, and files in them."""
_DEPTH = 2
_LEFT_OUT = (".ipynb", ".html", ".pdf", ".zip", ".whl")


def files_beside(path: Path, data: Sequence[Path] = ()) -> Iterator[tuple[str, bytes]]:
    """The files that a notebook may open: those of its folder, with their relative path, and ``data``.

    Plain files only, within limits of size and number; what is over them, or cannot be read, is left out.
    """
    left, count = MAX_FILES, 0
    beside = [(file.relative_to(path.parent).as_posix(), file, path.parent) for file in _files_in(path.parent)]
    for name, file, inside in [*((file.name, file, None) for file in data), *beside]:
        if count == MOST_FILES:
            return
        try:
            content = read_file(file, inside, min(left, MAX_FILE)).content
        except (OSError, SubmissionError):
            continue
        left, count = left - len(content), count + 1
        yield name, content


def _files_in(folder: Path) -> list[Path]:
    """The files of a folder, nearest first; a home folder may hold any number of others."""
    found: list[Path] = []
    for number, (place, folders, names) in enumerate(os.walk(folder)):
        depth = len(Path(place).relative_to(folder).parts)
        folders[:] = sorted(name for name in folders if depth < _DEPTH and not name.startswith((".", "__")))
        found += [Path(place) / name for name in names if not name.startswith(".") and not name.endswith(_LEFT_OUT)]
        if number >= MOST_FOLDERS or len(found) >= MOST_SEEN:
            break
    return sorted(found, key=lambda file: (len(file.parts), file.name))
