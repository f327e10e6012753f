"""Notebooks in archives that lie in a student's folder: read into memory within limits, nothing is unpacked."""

import io
import zipfile
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath

from handgrad.notebook.reading import is_export, is_notebook
from handgrad.notebook.untrusted_files import is_configuration

__all__ = ["is_archive", "notebooks_in"]

MAX_BYTES = 1 << 25
"""Bytes of the largest notebook in an archive that is read (32 MiB)."""
MOST = 20
"""Maximum number of files in an archive that are read."""
NESTED = 3
"""Largest depth of archives in archives: one may contain itself."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1


def is_archive(name: str) -> bool:
    """Whether a file of this name is a zip archive, if it is what its suffix says."""
    return name.lower().endswith(".zip")


def notebooks_in(path: Path, content: bytes) -> list[tuple[Path, bytes]]:
    """The files that may be notebooks in the archive ``content`` of the file ``path``, and what they hold.

    Their paths are as if the archive were a folder. Hidden files, and what cannot be read or is over a limit, are left
    out; an archive that cannot be opened has none.
    """
    return list(islice(_found(path, content, NESTED), MOST))


def _found(path: Path, content: bytes, levels: int) -> Iterator[tuple[Path, bytes]]:
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile):
        return
    # notebooks first, then exports, then archives
    for info in sorted(
        archive.infolist(), key=lambda info: (is_archive(info.filename), not is_notebook(info.filename))
    ):
        name = PurePosixPath(info.filename.replace("\\", "/"))
        # a name that leads out of the archive is never opened on the disk, and must not look so in a message
        parts = [part for part in name.parts if part not in ("..", "/")]
        if not parts or any(part.startswith((".", "__")) or is_configuration(part) for part in parts):
            continue
        inner = path.joinpath(*parts)
        if is_archive(inner.name) and levels:
            yield from _found(inner, _content(archive, info), levels - 1)
        elif (is_notebook(inner.name) or is_export(inner.name)) and (data := _content(archive, info)):
            yield inner, data


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """What a member holds; nothing if it cannot be read or is too large, whatever the archive says of it."""
    if info.compress_type not in _METHODS or info.flag_bits & _ENCRYPTED or info.file_size > MAX_BYTES:
        return b""
    try:
        with archive.open(info) as member:
            data = member.read(MAX_BYTES + 1)
    except (OSError, ValueError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile):
        return b""
    return data if len(data) <= MAX_BYTES else b""
