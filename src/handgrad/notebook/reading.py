"""Read a submitted notebook file: its size, its encoding, its structure; its code is never run."""

import codecs
import re
from collections.abc import Callable
from pathlib import Path

from nbformat import NotebookNode

from handgrad.errors import SubmissionError
from handgrad.notebook import fences, marimo, scripts, tidying
from handgrad.notebook.syntax import ParsedCell, same
from handgrad.notebook.text_cells import notebook_of
from handgrad.notebook.tidying import add_note, cell_name
from handgrad.notebook.untrusted_files import escaped, in_quotes, read_file

__all__ = [
    "is_export",
    "is_notebook",
    "notebook_name",
    "parse_markdown",
    "parse_notebook",
    "parse_script",
    "read_content",
    "read_notebook",
]

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encodings by byte order mark; UTF-32 comes before UTF-16, whose marks are prefixes of its marks."""
_NAME = re.compile(
    r".*?(?P<suffix>\.(?:ipynb|py|md|markdown|rmd|qmd|json|txt))"
    r"(?: ?\(\d+\))?(?:\.(?:json|txt|download|bak))?(?: ?\(\d+\))?",
    re.IGNORECASE | re.DOTALL,
)
"""Names of files that may be notebooks; browsers and mail programs add to them (``backprop.ipynb.json``)."""
_ADVICE = (
    "a merge was not finished. Keep one of the two versions, delete the lines that begin with <<<<<<<, ======= and "
    ">>>>>>>, and hand it in again."
)
_MARK = re.compile(r"(<{7}|\|{7}|={7}|>{7})(?:[ \t].*)?\r?")
_FIRST_MARK = re.compile(r"^(?:<{7}|>{7}|\|{7})(?:[ \t].*)?\r?$", re.MULTILINE)
"""A mark that nothing else looks like: a line ``=======`` alone may also be below a title."""
_NEXT_PART = {
    ("both", "<<<<<<<"): "ours",
    ("ours", "|||||||"): "base",
    ("ours", "======="): "theirs",
    ("base", "======="): "theirs",
    ("theirs", ">>>>>>>"): "both",
}
"""The part of the file that begins at a mark, by the part that it ends; ``base`` is in the styles diff3 and zdiff3."""


def is_notebook(name: str) -> bool:
    """Whether a file of this name is a notebook, if it is what its suffix says."""
    return name.lower().endswith(".ipynb")


def is_export(name: str) -> bool:
    """Whether a file of this name may have a notebook in it, but in another format or under another suffix."""
    return not is_notebook(name) and _NAME.fullmatch(name) is not None


def notebook_name(name: str) -> str:
    """The name of a notebook file without what a browser or a mail program has added.

    It is ``backprop.ipynb`` for ``backprop.ipynb.json`` and ``backprop.IPYNB``; any other name stays as it is.
    """
    found = _NAME.fullmatch(name)
    if not found or found["suffix"].lower() != ".ipynb":
        return name
    return f"{name[: found.start('suffix')]}.ipynb"


def read_notebook(path: Path, inside: Path | None = None) -> NotebookNode:
    """The notebook at ``path``, in nbformat 4.

    Parameters
    ----------
    inside
        The trusted folder below which no link is followed (default: links are followed). Give it for submissions.

    Raises
    ------
    SubmissionError
        There is no such file, or it is not a notebook.
    """
    return parse_notebook(read_content(path, inside), str(path))


def parse_notebook(data: bytes, where: str) -> NotebookNode:
    """The notebook in the bytes of the file ``where``, in nbformat 4.

    By its suffix it is JSON, a Python file or a Markdown file. What had to be
    repaired is in its note (:func:`.tidying.note_of`).

    Raises
    ------
    SubmissionError
        It is not a notebook; the message gives the reason.
    """
    found = _NAME.fullmatch(where)
    parse = _READERS.get(found["suffix"].lower() if found else "", tidying.parse)
    text = _decoded(data, where, is_strict=parse is tidying.parse)
    if not text.strip():
        raise SubmissionError(f"{where} is empty: save the notebook and hand it in again.")
    if text.lstrip()[:1] == "{" and ('"cells"' in text or '"worksheets"' in text):
        parse = tidying.parse
    if _first_mark(text):
        return _one_side(text, where, parse)
    if parse is tidying.parse and text.lstrip()[:1] == "<":
        raise SubmissionError(f"{where} is a web page, not a notebook: download the .ipynb file itself.")
    try:
        notebook = parse(text)
    except ValueError as error:
        raise SubmissionError(
            f"{where} is not a notebook that can be read ({in_quotes(str(error), 200)[1:-1]}): it may be half-written. "
            "Save it and hand it in again."
        ) from error
    _resolve(notebook)
    return notebook


def _decoded(data: bytes, where: str, is_strict: bool) -> str:
    """The text of a file; in a text that is not strictly UTF-8, letters of Windows are read too."""
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        if is_strict or encoding != "utf-8" or b"\0" in data:
            raise SubmissionError(f"{where} is not a notebook: it is not {encoding[:6].upper()} text.") from None
        return data.decode("cp1252", "replace")


def _one_side(text: str, where: str, parse: Callable[[str], NotebookNode]) -> NotebookNode:
    """One version of a file in which git left conflicts, if the code of both is the same."""
    line = _first_mark(text)
    try:
        versions = [parse(side) for side in _sides(text) or ()]
    except ValueError:
        versions = []
    codes = [[cell.source for cell in version.cells if cell.cell_type == "code"] for version in versions]
    if not codes or codes[0] != codes[1]:
        raise SubmissionError(f"{where} has git's conflict marks at line {line}: {_ADVICE}")
    add_note(versions[0], f"The file has git's conflict marks at line {line}: the code of both versions is the same.")
    return versions[0]


def _resolve(notebook: NotebookNode) -> None:
    """Take one version of the cells that have two versions of the same code, and name those whose versions differ."""
    for number, cell in enumerate(notebook.cells, start=1):
        line = _first_mark(cell.source) if cell.cell_type == "code" else 0
        if not line or ParsedCell.of(cell.source) is not None:
            continue
        versions = _sides(cell.source)
        if versions and same(*versions):
            cell.source = versions[0]
        else:
            name = cell_name(cell, number)
            add_note(notebook, f"{name} has git's conflict marks at its line {line}: {_ADVICE}")


def _first_mark(text: str) -> int:
    """The number of the first line with a conflict mark; 0 if there is none."""
    if "<<<<<<<" not in text and ">>>>>>>" not in text:
        return 0  # most files, a hundred times faster than the search
    found = _FIRST_MARK.search(text)
    return text.count("\n", 0, found.start()) + 1 if found else 0


def _sides(text: str) -> tuple[str, str] | None:
    """The two versions of a text with conflicts; None if a mark is missing."""
    ours, theirs, part = list[str](), list[str](), "both"
    for line in text.split("\n"):
        mark = _MARK.fullmatch(line)
        if mark and (part, mark[1]) in _NEXT_PART:
            part = _NEXT_PART[part, mark[1]]
        elif mark and mark[1] != "=======":
            return None
        else:
            ours += [line] * (part in ("both", "ours"))
            theirs += [line] * (part in ("both", "theirs"))
    return ("\n".join(ours), "\n".join(theirs)) if part == "both" else None


def read_content(path: Path, inside: Path | None = None) -> bytes:
    """The bytes of the regular file at ``path``, if it is not too large; a pipe or a device is not opened.

    Parameters and errors are those of :func:`read_notebook`.
    """
    try:
        return read_file(path, inside).content
    except FileNotFoundError:
        raise SubmissionError(f"there is no notebook at {escaped(path)}: no such file.") from None


def parse_script(text: str) -> NotebookNode:
    """The notebook in a Python file: of marimo, or exported by jupytext, nbconvert, Colab, Databricks or an editor.

    A file without marks is one cell.
    """
    if not marimo.is_marimo(text):
        return notebook_of(scripts.cells_of(text))
    notebook = notebook_of(marimo.cells_of(text))
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code" and ParsedCell.of(cell.source) is None:
            add_note(notebook, f"Cell {number} is not Python.")
    return notebook


def parse_markdown(text: str) -> NotebookNode:
    """The notebook in a Markdown file: of jupytext, MyST, R Markdown, Quarto, pandoc or nbconvert."""
    return notebook_of(fences.cells_of(text))


_READERS: dict[str, Callable[[str], NotebookNode]] = {
    ".py": parse_script,
    ".txt": parse_script,
    ".md": parse_markdown,
    ".markdown": parse_markdown,
    ".rmd": parse_markdown,
    ".qmd": parse_markdown,
}
"""What reads a text file with a notebook, by its suffix."""
