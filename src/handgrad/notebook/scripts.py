"""Python files that were notebooks: jupytext's and editors' ``# %%``, nbconvert, Colab, Databricks."""

import itertools
import re
from collections.abc import Iterator
from typing import Any

from handgrad.notebook.magics import called, is_cell_magic, restored
from handgrad.notebook.syntax import ParsedCell
from handgrad.notebook.text_cells import TextCell, inside_strings, lines_of, nbgrader_of, strings_in, uncommented

__all__ = ["cells_of"]

_HEAD = re.compile(
    r"#[ \t]*%%+(?P<options>.*)"
    r"|# (?:\+|-)(?P<light>[ \t]*|[ \t]+(?:\[\w+\]|[\w.-]+=|\{).*)"
    r"|(?P<nbconvert># In\[[ \d*]*\]:?\s*)"
    r"|#[ ]*<(?P<old>code|markdown|raw)cell>\s*"
)
"""The first line of a cell, as percent scripts, jupytext's light scripts, nbconvert and IPython write it."""
_KIND = re.compile(r"\[(markdown|md|raw)\]|^\s+(markdown|md|raw)\b")
_LANGUAGE = re.compile(r'\blanguage="(\w+)"(?:.*\bmagic_args="([^"]*)")?')
_ACTIVE = re.compile(r'\bactive="([^"]*)"')
"""Where a cell is run, says jupytext; a cell that is not run in Python files is a comment there."""
_BEGINS = re.compile(r"(?!(?:else|elif|except|finally|case)\b)[^\s)\]}]")
"""The beginning of a line with which a statement can begin."""
_QUOTED = re.compile(r"[rR]?(\"{3}|'{3}).*\1", re.DOTALL)
_COLAB = "# Commented out IPython magic to ensure Python compatibility."
_CELL_MAGIC = re.compile(r"# ?%%(\w+)")
_DATABRICKS = re.compile(r"# Databricks notebook source\s*")
_COMMAND = re.compile(r"# COMMAND -+\s*")
_MAGIC = re.compile(r"# MAGIC ?")
_LANGUAGES = re.compile(r"%(md|md-sandbox|sql|scala|r|sh|fs|run|python)\b[ \t]*(.*)", re.DOTALL)


def cells_of(text: str) -> Iterator[TextCell]:
    """The cells of the notebook that the Python file ``text`` was exported from.

    A file without marks is one cell, without Colab's texts and commented cells.
    """
    lines = lines_of(text)
    if lines and _DATABRICKS.fullmatch(lines[0]):
        return _databricks(lines[1:])
    heads = _heads(lines)
    return _marked(lines, heads) if heads else _unmarked(lines)


def _heads(lines: list[str]) -> dict[int, re.Match[str]]:
    """The lines at which cells begin, by their indices."""
    found = {index: head for index, line in enumerate(lines) if (head := _HEAD.fullmatch(line))}
    inside = inside_strings(lines) if found else set()
    heads: dict[int, re.Match[str]] = {}
    last = -1
    for index, head in found.items():
        if index not in inside and not _is_magic(lines, last, index):
            heads[index] = head
            last = index
    return heads


def _is_magic(lines: list[str], last: int, index: int) -> bool:
    """Whether ``# %%time`` is the magic at the top of the cell that began at the line ``last``."""
    magic = _CELL_MAGIC.match(lines[index])
    if not magic or not is_cell_magic(magic[1]):
        return False
    above = next((lines[other] for other in range(index - 1, last, -1) if lines[other].strip()), _COLAB)
    return above.rstrip() == _COLAB


def _marked(lines: list[str], heads: dict[int, re.Match[str]]) -> Iterator[TextCell]:
    """The cells of a file with marks; what is above the first one is a cell too."""
    is_nbconvert = any(head["nbconvert"] for head in heads.values())
    starts = [*heads, len(lines)]
    yield from _converted(lines[: starts[0]]) if is_nbconvert else _paragraphs(lines[: starts[0]])
    for start, end in itertools.pairwise(starts):
        head, inside = heads[start], lines[start + 1 : end]
        options = head["options"] or head["light"] or ""
        kind = _KIND.search(options)
        if kind or head["old"] not in (None, "code"):
            is_raw = "raw" in (head["old"], *(kind.groups() if kind else ()))
            yield TextCell("raw" if is_raw else "markdown", _text("\n".join(inside)), nbgrader_of(options))
            continue
        active = _ACTIVE.search(options)
        if language := _LANGUAGE.search(options):
            inside = [f"%%{language[1]} {language[2] or ''}".rstrip(), *uncommented(inside)]
        elif active:
            inside = inside if "py" in active[1].split(",") else uncommented(inside)
        if active and "ipynb" not in active[1]:
            yield TextCell("raw", "\n".join(inside))
        elif is_nbconvert:
            yield from _converted(inside)
        elif options:
            yield _code(_without_colab(inside), nbgrader_of(options))
        else:
            yield from _paragraphs(_without_colab(inside))


def _text(source: str) -> str:
    """The text of a cell: without comment marks, or without the quotes around it."""
    source = source.strip()
    if _QUOTED.fullmatch(source):
        return source.strip("rR\"'\n")
    return "\n".join(uncommented(source.split("\n")))


def _unmarked(lines: list[str]) -> Iterator[TextCell]:
    """The cells of a file without marks: one, or what is between Colab's texts and cells that it commented out."""
    texts = {start: end for start, end in strings_in(lines) if _is_text(lines, start, end)}
    code, index = list[str](), 0
    while index < len(lines):
        end = texts.get(index) or _end_of_commented(lines, index)
        if end is None:
            code.append(lines[index])
            index += 1
            continue
        yield from _paragraphs(code)
        inside = lines[index : end + 1]
        if index in texts:
            yield TextCell("markdown", _text("\n".join(inside)))
        else:
            yield TextCell("code", "\n".join(_without_colab(inside)))
        code, index = [], end + 1
    yield from _paragraphs(code)


def _code(lines: list[str], nbgrader: dict[str, Any] | None = None) -> TextCell:
    """A code cell with its magics."""
    source = "\n".join(line for line in lines if line.rstrip() != _COLAB).strip("\n")
    return TextCell("code", called(restored(source)), nbgrader)


def _converted(lines: list[str]) -> Iterator[TextCell]:
    """A code cell of nbconvert's, which comments out texts but no magics, and the text below it."""
    code = max((index for index, line in enumerate(lines, start=1) if line.strip() and line[0] != "#"), default=0)
    blank = (
        index for index in range(code, len(lines) - 1) if not lines[index].strip() and not lines[index + 1].strip()
    )
    end = next(blank, len(lines))
    yield TextCell("code", called("\n".join(lines[:end]).strip("\n")))
    yield TextCell("markdown", _text("\n".join(lines[end:])))


def _paragraphs(lines: list[str]) -> Iterator[TextCell]:
    """Code whose cells are not marked: one cell or, if a part of it is not Python, one for each paragraph."""
    cell = _code(lines)
    if ParsedCell.of(cell.source) is not None:
        yield cell
        return
    inside = inside_strings(lines)
    starts = [
        index
        for index, line in enumerate(lines)
        if index and index not in inside and _begins(line, above=lines[index - 1])
    ]
    for start, end in itertools.pairwise([0, *starts, len(lines)]):
        yield _code(lines[start:end])


def _begins(line: str, above: str) -> bool:
    """Whether a paragraph begins at a line: below an empty one, or with a magic for a whole cell."""
    return line.startswith("%%") or (not above.strip() and _BEGINS.match(line) is not None)


def _is_text(lines: list[str], start: int, end: int) -> bool:
    """Whether a string is a statement of its own, as Colab writes a text cell."""
    stands_alone = lines[start][:3] in ('"""', "'''") and lines[end].rstrip()[-3:] == lines[start][:3]
    above = lines[start - 1].strip() if start else ""
    return stands_alone and (not above or above.startswith("#")) and not "".join(lines[end + 1 : end + 2]).strip()


def _end_of_commented(lines: list[str], start: int) -> int | None:
    """The index of the last line of a cell that Colab commented out, if one begins at ``start``."""
    if lines[start].rstrip() != _COLAB or not _CELL_MAGIC.match("".join(lines[start + 1 : start + 2])):
        return None
    end = start + 1
    while end + 1 < len(lines) and lines[end + 1].startswith("#") and lines[end + 1].rstrip() != _COLAB:
        end += 1
    return end


def _without_colab(lines: list[str]) -> list[str]:
    """The lines of a cell without Colab's sentence, and without the comment marks if it is a cell with a magic."""
    kept = [line for line in lines if line.rstrip() != _COLAB]
    magic = next((line for line in kept if line.strip()), "")
    if len(kept) < len(lines) and _CELL_MAGIC.match(magic):
        return uncommented(kept)
    return kept


def _databricks(lines: list[str]) -> Iterator[TextCell]:
    """The cells of a notebook in Databricks' source format."""
    cells: list[list[str]] = [[]]
    for line in lines:
        if _COMMAND.fullmatch(line):
            cells.append([])
        elif not line.startswith("# DBTITLE "):
            cells[-1].append(_MAGIC.sub("", line, count=1))
    for inside in cells:
        source = "\n".join(inside).strip("\n")
        match _LANGUAGES.match(source):
            case None:
                yield TextCell("code", source)
            case other if other[1] == "python":
                yield TextCell("code", other[2])
            case other:
                yield TextCell("markdown" if other[1].startswith("md") else "raw", other[2])
