"""Notebooks of marimo: Python files whose cells are functions, in any order."""

import ast
import inspect
import io
import itertools
import re
import textwrap
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from handgrad.notebook.syntax_trees import bound_in, tree_of
from handgrad.notebook.text_cells import TextCell, inside_strings, lines_of

__all__ = ["arranged", "cells_of", "is_marimo"]

_START = re.compile(
    r"@\w+\.(?:cell|function|class_definition)\b|with \w+\.setup\b|\w+\._unparsable_cell\(|if __name__\b"
)
"""How a cell begins, and what is below the last one."""
_APP = re.compile(r"^\w+ = (?:marimo|mo)\.App\(", re.MULTILINE)
_IMPORT = re.compile(r"^import marimo(?: as \w+)?$", re.MULTILINE)
_TAGS = re.compile(r"\A# Cell tags: .*\n")
"""What `marimo convert` makes of the tags of a cell."""
_KINDS = ("cell", "function", "class_definition")
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class _Cell:
    """A cell, with the names that it ``gives`` to other cells, and those that it ``takes`` from them."""

    kind: str
    source: str
    gives: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()


def is_marimo(text: str) -> bool:
    """Whether the Python file ``text`` is a notebook of marimo."""
    return _APP.search(text) is not None


def cells_of(text: str) -> list[TextCell]:
    """The cells in the order in which marimo runs them.

    The setup comes first, and a cell comes after those that make the names that it takes. Names that begin with an
    underscore belong to their cell: if several cells have the same one, it gets the cell's number.
    """
    return _arranged([cell for lines in _parts(lines_of(text)) if (cell := _cell(lines))])


def arranged(cells: Iterable[TextCell]) -> list[TextCell]:
    """The cells of marimo's Markdown, in the order in which it runs them."""
    return _arranged([_plain(cell) if cell.kind == "code" else _Cell(cell.kind, cell.source) for cell in cells])


def _plain(cell: TextCell) -> _Cell:
    tree = tree_of(cell.source)
    return _code(cell.source, frozenset().union(*map(_loaded, tree.body)) if tree else frozenset())


def _arranged(cells: Sequence[_Cell]) -> list[TextCell]:
    return [TextCell(cell.kind, cell.source) for cell in _ordered([*_with_own_names(cells)])]


def _parts(lines: list[str]) -> Iterator[list[str]]:
    """The parts of the file, one for each cell, so that one that is not Python does not spoil the others."""
    inside = inside_strings(lines)
    starts = [index for index, line in enumerate(lines) if index not in inside and _START.match(line)]
    for start, end in itertools.pairwise([*starts, len(lines)]):
        yield lines[start:end]


def _cell(lines: Sequence[str]) -> _Cell | None:
    """The cell in a part of the file; None if there is none."""
    tree = tree_of("\n".join(lines))
    if tree is None:
        return _Cell("code", _broken(lines))
    return _cell_of(tree.body[0], lines) if tree.body else None


def _broken(lines: Sequence[str]) -> str:
    """The source of a cell that is not Python: what is below ``def _(...):``, and above ``return``."""
    head = next((index for index, line in enumerate(lines) if line.rstrip().endswith(":")), -1)
    below = [index for index, line in enumerate(lines) if line.startswith("    return") and index > head]
    body = lines[head + 1 : below[-1] if below else len(lines)]
    return "\n".join(line.removeprefix("    ") for line in body).strip("\n")


def _cell_of(statement: ast.stmt, lines: Sequence[str]) -> _Cell | None:
    """The cell that a statement of the file is; None for the statements around the cells."""
    match statement:
        case ast.With(body=body):
            return _code(_inside(statement, body, lines), frozenset())
        case ast.Expr(
            value=ast.Call(func=ast.Attribute(attr="_unparsable_cell"), args=[ast.Constant(value=str(source)), *_])
        ):
            return _Cell("code", textwrap.dedent(source).strip("\n"))
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() if statement.decorator_list:
            match _decorator(statement):
                case "cell" if not isinstance(statement, ast.ClassDef):
                    return _function_cell(statement, lines)
                case "function" | "class_definition":
                    source = "\n".join(lines[statement.lineno - 1 : statement.end_lineno])
                    return _code(source, _loaded(statement))
    return None


def _decorator(statement: _Function) -> str:
    """``cell`` for ``@app.cell`` and ``@app.cell(hide_code=True)``."""
    first = statement.decorator_list[0]
    first = first.func if isinstance(first, ast.Call) else first
    return first.attr if isinstance(first, ast.Attribute) and first.attr in _KINDS else ""


def _function_cell(statement: ast.FunctionDef | ast.AsyncFunctionDef, lines: Sequence[str]) -> _Cell:
    body = statement.body[:-1] if isinstance(statement.body[-1], ast.Return) else statement.body
    source = _inside(statement, body, lines)
    match body:
        case [ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="mo"), attr="md"), args=[text, *_]))]:
            return _Cell("markdown", inspect.cleandoc(str(text.value)) if isinstance(text, ast.Constant) else source)
    if _is_disabled(statement):
        return _Cell("raw", source)
    arguments = statement.args
    return _code(source, frozenset(argument.arg for argument in (*arguments.args, *arguments.kwonlyargs)))


def _is_disabled(statement: _Function) -> bool:
    """Whether marimo does not run the cell: ``@app.cell(disabled=True)``."""
    match statement.decorator_list[0]:
        case ast.Call(keywords=keywords):
            return any(
                keyword.arg == "disabled" and getattr(keyword.value, "value", False) is True for keyword in keywords
            )
    return False


def _inside(statement: ast.stmt, body: Sequence[ast.stmt], lines: Sequence[str]) -> str:
    """The lines of a block's ``body``, with the comments above and below it, without their indentation."""
    block = getattr(statement, "body", body)
    first = min([block[0].lineno, *(node.lineno for node in getattr(block[0], "decorator_list", []))])
    start = first - 1
    while start > statement.lineno and (not lines[start - 1].strip() or lines[start - 1].lstrip().startswith("#")):
        start -= 1
    end = statement.end_lineno if len(body) == len(block) else block[-1].lineno - 1
    indent = " " * block[0].col_offset
    return "\n".join(line.removeprefix(indent) for line in lines[start:end]).strip("\n") if body else ""


def _code(source: str, takes: frozenset[str]) -> _Cell:
    """A code cell, without the import of marimo, which only marimo's own calls need, and without its notes of tags."""
    source = _TAGS.sub("", _IMPORT.sub("", source))
    tree = tree_of(source)
    gives = frozenset(bound_in(tree) if tree else ())
    return _Cell("code", source, gives, takes - gives)


def _loaded(statement: ast.stmt) -> frozenset[str]:
    """The names that a function or a class reads."""
    return frozenset(node.id for node in ast.walk(statement) if isinstance(node, ast.Name))


def _with_own_names(cells: Sequence[_Cell]) -> Iterator[_Cell]:
    """The cells, the names that begin with an underscore in more than one of them told apart."""
    counts = Counter(name for cell in cells for name in cell.gives if name.startswith("_"))
    for number, cell in enumerate(cells, start=1):
        own = cell.gives - _in_f_strings(cell.source)
        shared = {name: f"{name}_{number}" for name in own if counts[name] > 1 and not name.startswith("__")}
        yield replace(cell, source=_renamed(cell.source, shared)) if shared else cell


def _in_f_strings(source: str) -> set[str]:
    """The names in f-strings, which are no tokens before Python 3.12."""
    tree = tree_of(source)
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)] if tree else []
    return {node.id for text in texts for node in ast.walk(text) if isinstance(node, ast.Name)}


def _renamed(source: str, names: dict[str, str]) -> str:
    """The source with other names; an attribute keeps its name."""
    lines = source.split("\n")
    before = ""
    places = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME and token.string in names and before != ".":
            places.append((token.start, token.string))
        before = token.string
    for (line, column), name in reversed(places):
        text = lines[line - 1]
        lines[line - 1] = text[:column] + names[name] + text[column + len(name) :]
    return "\n".join(lines)


def _ordered(cells: Sequence[_Cell]) -> Iterator[_Cell]:
    """The cells, each after those that give what it takes; otherwise in the order of the file."""
    makers = {name: index for index, cell in reversed([*enumerate(cells)]) for name in cell.gives}
    needs = [sorted({makers[name] for name in cell.takes if name in makers}, reverse=True) for cell in cells]
    seen: set[int] = set()
    for first in range(len(cells)):
        waiting = [] if first in seen else [first]
        seen.add(first)
        while waiting:
            index = waiting[-1]
            if not needs[index]:
                yield cells[waiting.pop()]
            elif (other := needs[index].pop()) not in seen:
                # of cells in a circle, which marimo does not run, the first one comes last
                waiting.append(other)
                seen.add(other)
