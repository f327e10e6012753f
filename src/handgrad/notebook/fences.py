"""Markdown files that are notebooks: jupytext's and MyST's Markdown, R Markdown, Quarto, pandoc, nbconvert."""

import re
from collections.abc import Iterable, Iterator, Sequence

from handgrad.notebook.magics import restored
from handgrad.notebook.marimo import arranged
from handgrad.notebook.text_cells import TextCell, lines_of, nbgrader_of

__all__ = ["cells_of"]

_FENCE = re.compile(r"(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,}|:{3,})[ \t]*(?P<info>[^`]*)")
_PYTHON = re.compile(r"i?python3?|py")
_CELL = re.compile(r"\{[ ]*(?:code-cell\}[ ]*|\.?(?=i?python3?\b))|python \{\.marimo\b")
"""A cell that is run, unlike an example in a text: ``{code-cell}``, ``{python}``, ``{.python}``, ``{.marimo}``."""
_MARIMO = re.compile(r"^`{3,}python \{\.marimo\b", re.MULTILINE)
_RAW = re.compile(r'\bactive="(?![^"]*\bipynb\b)')
"""An option of a cell that jupytext keeps out of the notebook's code."""
_LANGUAGE = re.compile(r"\{?[ ]*\.?(?:code-cell\}[ ]*)?(?P<language>[\w+-]*)(?P<options>.*)")
_OPTION = re.compile(r":[\w-]+:.*")
_REGION = re.compile(r"\s*<!-- #(?P<end>end)?(?:region|md|markdown|raw)\b.*")


def cells_of(text: str) -> Iterable[TextCell]:
    """The cells of the notebook in the Markdown ``text``: its fenced blocks of Python, and the texts between them.

    If there are blocks that are marked as cells (``{python}``, ``{code-cell}``), other blocks of Python are examples.
    Blocks of other languages, and blocks in jupytext's regions, belong to the texts.
    """
    cells = _cells(lines_of(text))
    return arranged(cells) if _MARIMO.search(text) else cells


def _cells(lines: Sequence[str]) -> Iterator[TextCell]:
    blocks = [*_blocks(lines)]
    marked = [block for block in blocks if _CELL.match(block[2]["info"])]
    end = 0
    for start, stop, head in marked or blocks:
        yield TextCell("markdown", "\n".join(lines[end:start]))
        yield _code(lines[start + 1 : stop], head)
        end = stop + 1
    yield TextCell("markdown", "\n".join(lines[end:]))


def _blocks(lines: Sequence[str]) -> Iterator[tuple[int, int, re.Match[str]]]:
    """Indices of the first and the last line of each block of Python, and the match of the first line."""
    index, in_region = 0, False
    while index < len(lines):
        if region := _REGION.fullmatch(lines[index]):
            in_region = not region["end"]
        head = _FENCE.fullmatch(lines[index])
        # a fence of colons without a cell only frames what is in it
        if head and (head["fence"][0] != ":" or _CELL.match(head["info"])):
            stop = _end(lines, index, head["fence"])
            if _is_python(head["info"]) and not in_region:
                yield index, stop, head
            index = stop
        index += 1


def _end(lines: Sequence[str], start: int, fence: str) -> int:
    """The index of the line that ends the block; the end of the file if there is none."""
    closed = re.compile(rf"[ \t]*{fence[0]}{{{len(fence)},}}[ \t]*")
    return next((index for index in range(start + 1, len(lines)) if closed.fullmatch(lines[index])), len(lines))


def _is_python(info: str) -> bool:
    found = _LANGUAGE.match(info)
    language = found["language"].lower() if found else ""
    return _PYTHON.fullmatch(language) is not None or (not language and info.startswith("{code-cell}"))


def _code(lines: Sequence[str], head: re.Match[str]) -> TextCell:
    """A code cell, without the indentation of its fence, and without MyST's options above the code."""
    inside = [line.removeprefix(head["indent"]) for line in lines]
    start = 0
    if inside[:1] == ["---"] and "---" in inside[1:]:
        start = inside.index("---", 1) + 1
    while start < len(inside) and _OPTION.fullmatch(inside[start]):
        start += 1
    kind = "raw" if _RAW.search(head["info"]) else "code"
    return TextCell(kind, restored("\n".join(inside[start:]).strip("\n")), nbgrader_of(head["info"]))
