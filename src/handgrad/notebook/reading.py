"""Read a submitted notebook file: its size, its encoding, its structure; its code is never run."""

import codecs
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from handgrad.errors import SubmissionError
from handgrad.notebook import tidying

__all__ = ["MAX_BYTES", "parse_export", "parse_notebook", "read_content", "read_notebook"]

MAX_BYTES = 1 << 27
"""Bytes of the largest file that is read (128 MiB): enough for plots and tables, but does not fill the memory."""
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encodings by byte order mark; UTF-32 comes before UTF-16, whose marks are prefixes of its marks."""
_HEAD = re.compile(r"^# ?%%(?P<rest>.*)$|^# In\[[ \d*]*\]:\s*$")
_MAGIC = re.compile(r"^# (?=%|!)")
"""A magic as jupytext writes it, since it is not Python."""


def read_notebook(path: Path, inside: Path | None = None) -> NotebookNode:
    """The notebook at ``path``, in nbformat 4.

    Parameters
    ----------
    inside
        The folder that a symbolic link may not lead out of (default: no restriction). Give it for submissions.

    Raises
    ------
    SubmissionError
        There is no such file, or it is not a notebook.
    """
    return parse_notebook(read_content(path, inside), str(path))


def parse_notebook(data: bytes, where: str) -> NotebookNode:
    """The notebook in the bytes of the file ``where``, in nbformat 4; a ``.py`` file is an export of a notebook.

    Raises
    ------
    SubmissionError
        It is not a notebook; the message gives the reason.
    """
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise SubmissionError(f"{where} is not a notebook: it is not {encoding[:6].upper()} text.") from None
    if not text.strip():
        raise SubmissionError(f"{where} is empty: save the notebook and hand it in again.")
    if where.endswith(".py"):
        return parse_export(text)
    if text.lstrip()[:1] == "<":
        raise SubmissionError(f"{where} is a web page, not a notebook: download the .ipynb file itself.")
    try:
        return tidying.parse(text)
    except ValueError as error:
        raise SubmissionError(
            f"{where} is not a notebook that can be read ({error}): it may be half-written. "
            "Save it and hand it in again."
        ) from error


def read_content(path: Path, inside: Path | None = None) -> bytes:
    """The bytes of the regular file at ``path``, if it is not too large; a pipe or a device is not opened.

    Parameters and errors are those of :func:`read_notebook`.
    """
    try:
        if inside is not None and not path.resolve().is_relative_to(inside.resolve()):
            raise SubmissionError(
                f"{path} is a link out of the student's folder and is not read: the notebook itself must be handed in."
            )
        _require_regular_file(path, path.stat())
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            _require_regular_file(path, os.fstat(file.fileno()))
            return file.read(MAX_BYTES)
    except FileNotFoundError:
        raise SubmissionError(f"there is no notebook at {path}: no such file.") from None
    except (OSError, RuntimeError) as error:
        raise SubmissionError(f"{path} cannot be read: {getattr(error, 'strerror', '') or error}.") from error


def _require_regular_file(path: Path, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise SubmissionError(f"{path} cannot be read: it is a folder, not a file.")
    if not stat.S_ISREG(status.st_mode):
        raise SubmissionError(f"{path} cannot be read: it is a pipe, a socket or a device, not a file.")
    if status.st_size > MAX_BYTES:
        raise SubmissionError(
            f"{path} is not read: it has {status.st_size >> 20:,} MiB, and a notebook may have {MAX_BYTES >> 20}. "
            "Clear its outputs and hand it in again."
        )


def parse_export(text: str) -> NotebookNode:
    """The notebook that a Python file was exported from: with ``# %%`` cells, or nbconvert's ``# In[3]:``.

    A file without marks is one cell.
    """
    cells = [
        nbformat.v4.new_code_cell(source) if kind == "code" else nbformat.v4.new_markdown_cell(source)
        for kind, source in _cells(text)
        if source.strip()
    ]
    for position, cell in enumerate(cells, start=1):
        cell["id"] = f"cell-{position}"
    return nbformat.v4.new_notebook(cells=cells)


def _cells(text: str) -> Iterator[tuple[str, str]]:
    """Kind and source of each cell."""
    kind, lines = "code", list[str]()
    for line in text.splitlines():
        if head := _HEAD.match(line):
            yield kind, "\n".join(lines).strip("\n")
            kind, lines = "text" if re.search(r"\[(markdown|md|raw)\]", head["rest"] or "") else "code", []
        else:
            lines.append(_MAGIC.sub("", line) if kind == "code" else line)
    yield kind, "\n".join(lines).strip("\n")
