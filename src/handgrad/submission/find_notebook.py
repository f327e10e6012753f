"""Find the notebook among the files that a student submitted: by its name, or under another name."""

import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePath, PurePosixPath

from handgrad.errors import SubmissionError
from handgrad.exercise.exercise import Exercise
from handgrad.notebook.reading import is_export, is_notebook, parse_notebook, read_notebook
from handgrad.notebook.text_limits import limited
from handgrad.notebook.untrusted_files import escaped, is_configuration, links_in, read_file, walk
from handgrad.submission.submission import Submission

__all__ = ["Found", "find_notebook", "found_by_name"]

CHECKPOINTS = ".ipynb_checkpoints"
"""Jupyter's folder of automatic copies."""
MOST = 20
"""Maximum number of notebooks that are read, also of one archive."""
MOST_FOLDERS = 500
"""Maximum number of folders that are searched: a student may submit a whole environment."""
MAX_BYTES = 1 << 25
"""Bytes of the largest notebook in an archive that is read (32 MiB)."""
NESTED = 3
"""Largest depth of archives in archives: one may contain itself."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1
FILE_SECONDS = 5.0
"""Seconds of processor time for one file that may be the notebook."""


@dataclass(frozen=True)
class Found:
    """The notebook that counts (None if there is none), and a ``note`` about the choice.

    The note is empty if the notebook has its expected name and nothing else could count. A notebook in an archive has
    its ``content``, and a path as if the archive were a folder.
    """

    path: Path | None
    note: str = ""
    content: bytes | None = None


def found_by_name(folder: Path, exercise: Exercise, inside: Path | None = None) -> Found | None:
    """What :func:`find_notebook` finds, if no file has to be read for that; else None."""
    exact = folder / f"{exercise.name}.ipynb"
    try:
        names = _names(folder, inside)
    except SubmissionError:
        return Found(exact)  # reading it reports the link
    if any(path != exact for path in (*_files(folder, names, is_notebook), *_files(folder, names, is_export))):
        return None
    links = links_in(folder, inside) if inside is not None else ""
    if os.path.lexists(exact):
        return Found(exact, links)
    if _files(folder, names, _is_archive):
        return None
    return Found(None, _said(_nothing(folder, exact.name, inside), links))


def find_notebook(folder: Path, exercise: Exercise, inside: Path | None = None) -> Found:
    """The notebook in ``folder`` that answers ``exercise``.

    The one named after the exercise counts. If there is none, or it cannot be read, it is the notebook with the most
    answers under another name, also in a subfolder. If no notebook has answers, it is another file that has some: an
    export, or a notebook whose suffix a browser changed. Jupyter's checkpoints come last. Below the trusted folder
    ``inside`` no link is followed (default: the folder is the user's own, and links to files are followed). A file that
    takes too long to read, or at which a parser fails, has no answers.
    """
    if known := found_by_name(folder, exercise, inside):
        return known
    name = f"{exercise.name}.ipynb"
    exact = folder / name
    names = _names(folder, inside)
    links = links_in(folder, inside) if inside is not None else ""
    others = [path for path in _files(folder, names, is_notebook) if path != exact]
    answers = {path: _answers(path, exercise, inside) for path in others if not _is_checkpoint(path)}
    if max(answers.values(), default=0) < 1:
        found = _files(folder, names, is_export)
        exports = {path: count for path in found if (count := _answers(path, exercise, inside)) > 0}
        answers |= exports
        others += exports
    there = os.path.lexists(exact)
    packed: dict[Path, bytes] = {}
    if not there and max(answers.values(), default=0) < 1:
        packed = _packed(_files(folder, names, _is_archive), inside)
        counts = {path: _answers(path, exercise, inside, content) for path, content in packed.items()}
        answers |= {path: count for path, count in counts.items() if count > 0 or is_notebook(path.name)}
        others += packed
    if there and (max(answers.values(), default=-1) < 1 or _answers(exact, exercise, inside) >= 0):
        written = [path for path, count in answers.items() if count > 0]
        return Found(exact, _said(_left_aside(folder, written), links))
    if not answers:
        answers = {path: _answers(path, exercise, inside) for path in others}
    if not answers:
        return Found(None, _said(_nothing(folder, name, inside), links))
    best = max(answers, key=lambda path: (answers[path], -others.index(path)))
    why = f"{name} cannot be read" if there else f"there is no {name}"
    note = f"{escaped(best.relative_to(folder))} was graded: {why}."
    written = [path for path, count in answers.items() if count > 0 and path != best]
    return Found(best, _said(note, _left_aside(folder, written), links), packed.get(best))


def _said(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _names(folder: Path, inside: Path | None) -> list[PurePath]:
    """The files in ``folder`` and its subfolders, by their paths in it; of a user's own folder links are among them."""
    kinds, found = ("file", "link") if inside is None else ("file",), []
    folders = 0
    try:
        for entry in walk(folder, inside, _is_searched):
            folders += entry.kind == "folder"
            # a name that begins with a dot is another system's metadata of a file
            if entry.kind in kinds and not entry.path.name.startswith("."):
                found.append(entry.path)
            if folders > MOST_FOLDERS:
                break
    except FileNotFoundError:
        return []
    return found


def _is_searched(name: str) -> bool:
    return not name.startswith((".", "__")) or name == CHECKPOINTS


def _files(folder: Path, names: Sequence[PurePath], is_wanted: Callable[[str], bool]) -> list[Path]:
    """The files with a wanted name, nearest first, then by name."""
    found = [folder / name for name in names if is_wanted(name.name)]
    return sorted(found, key=lambda path: (len(path.parts), str(path)))[:MOST]


def _is_checkpoint(path: Path) -> bool:
    return CHECKPOINTS in path.parts or path.stem.endswith("-checkpoint")


def _packed(paths: Sequence[Path], inside: Path | None) -> dict[Path, bytes]:
    """The files in archives that may be notebooks, with what they hold."""
    found: dict[Path, bytes] = {}
    for path in paths:
        # an archive that cannot be read has nothing in it
        with suppress(OSError, SubmissionError):
            found.update(islice(_unpacked(path, read_file(path, inside).content, NESTED), MOST))
    return dict(islice(found.items(), MOST))


def _is_archive(name: str) -> bool:
    return name.lower().endswith(".zip")


def _unpacked(path: Path, content: bytes, levels: int) -> Iterator[tuple[Path, bytes]]:
    """The files that may be notebooks in the archive ``content`` of the file ``path``, and what they hold.

    Their paths are as if the archive were a folder. Hidden files, and what cannot be read or is over a limit, are left
    out; an archive that cannot be opened has none.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile):
        return
    # notebooks first, then exports, then archives
    for info in sorted(
        archive.infolist(), key=lambda info: (_is_archive(info.filename), not is_notebook(info.filename))
    ):
        name = PurePosixPath(info.filename.replace("\\", "/"))
        # a name that leads out of the archive is never opened on the disk, and must not look so in a message
        parts = [part for part in name.parts if part not in ("..", "/")]
        if not parts or any(part.startswith((".", "__")) or is_configuration(part) for part in parts):
            continue
        inner = path.joinpath(*parts)
        if _is_archive(inner.name) and levels:
            yield from _unpacked(inner, _content(archive, info), levels - 1)
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


def _answers(path: Path, exercise: Exercise, inside: Path | None, content: bytes | None = None) -> int:
    """How many gradients the notebook at ``path`` assigns; -1 if it is not a notebook of the exercise."""
    try:
        with limited(FILE_SECONDS):
            notebook = read_notebook(path, inside) if content is None else parse_notebook(content, str(path))
            return len(Submission.of(notebook, exercise).written())
    # SubmissionError and TextLimitError, and whatever a parser raises at a text that was made for it
    except Exception:
        return -1


def _left_aside(folder: Path, paths: list[Path]) -> str:
    if not paths:
        return ""
    names = ", ".join(escaped(path.relative_to(folder)) for path in paths)
    if len(paths) > 1:
        return f"Other files with answers were not graded: {names}."
    return f"Another file with answers was not graded: {names}."


def _nothing(folder: Path, name: str, inside: Path | None) -> str:
    try:
        held = [escaped(entry.path) for entry in walk(folder, inside, lambda name: False)]
    except (OSError, SubmissionError):
        return ""
    more = f" and {len(held) - MOST} more" if len(held) > MOST else ""
    return f"There is no {name} in the folder, which holds: {', '.join(held[:MOST])}{more}." if held else ""
