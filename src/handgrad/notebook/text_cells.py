"""Cells of a notebook that is kept as text instead of JSON."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import nbformat
from nbformat import NotebookNode

from handgrad.notebook.untrusted_json import is_shallow

__all__ = ["TextCell", "inside_strings", "lines_of", "nbgrader_of", "notebook_of", "strings_in", "uncommented"]

_NEW_LINE = re.compile(r"\r\n|\r|\n")
_COMMENT = re.compile(r"#(?: |$)")
_NBGRADER = re.compile(r"\bnbgrader\"?\s*[=:]\s*(?={)")
_STRINGS = re.compile(
    r"""\#[^\n]*+ | (?P<text>[rRbBfFuU]{0,2}(?P<quotes>\"{3}|'{3})(?:\\.|(?!(?P=quotes)).)*+(?:(?P=quotes)|\Z))
    | "(?:\\.|[^"\\\n])*+"? | '(?:\\.|[^'\\\n])*+'?""",
    re.VERBOSE | re.DOTALL,
)
"""Comments and strings; only the last ones, in three quotes, have several lines."""
_DECODER = json.JSONDecoder()
_NEW = {
    "code": nbformat.v4.new_code_cell,
    "markdown": nbformat.v4.new_markdown_cell,
    "raw": nbformat.v4.new_raw_cell,
}


class TextCell(NamedTuple):
    """A cell of the kind ``code``, ``markdown`` or ``raw``, with nbgrader's metadata if the text has it."""

    kind: str
    source: str
    nbgrader: dict[str, Any] | None = None


def notebook_of(cells: Iterable[TextCell]) -> NotebookNode:
    """The notebook with these cells, without the empty ones; the ids are their numbers."""
    notebook = nbformat.v4.new_notebook()
    for cell in cells:
        if cell.source.strip():
            metadata = nbformat.from_dict({"nbgrader": cell.nbgrader} if cell.nbgrader else {})
            name = f"cell-{len(notebook.cells) + 1}"
            notebook.cells.append(_NEW[cell.kind](cell.source.strip("\n"), id=name, metadata=metadata))
    return notebook


def lines_of(text: str) -> list[str]:
    """The lines of ``text`` as Python counts them: a form feed, U+0085 or U+2028 does not end a line."""
    return _NEW_LINE.split(text)


def strings_in(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Indices of the first and the last line of each Python string in three quotes."""
    text, line, at = "\n".join(lines), 0, 0
    for found in _STRINGS.finditer(text):
        if found["text"]:
            line, at = line + text.count("\n", at, found.start()), found.start()
            yield line, line + found["text"].count("\n")


def inside_strings(lines: Sequence[str]) -> set[int]:
    """Indices of the lines at whose beginning a Python string in three quotes is open."""
    return {line for start, end in strings_in(lines) for line in range(start + 1, end + 1)}


def uncommented(lines: Iterable[str]) -> list[str]:
    """The lines, each without the ``# `` at its beginning."""
    return [_COMMENT.sub("", line, count=1) if line.startswith("#") else line for line in lines]


def nbgrader_of(options: str) -> dict[str, Any] | None:
    """The metadata of nbgrader in a cell's options, as jupytext writes them: ``nbgrader={"grade_id": "dprobs"}``."""
    found = _NBGRADER.search(options)
    if not found:
        return None
    try:
        metadata, _ = _DECODER.raw_decode(options, found.end())
    except (ValueError, RecursionError):
        return None
    return metadata if isinstance(metadata, dict) and is_shallow(metadata) else None
