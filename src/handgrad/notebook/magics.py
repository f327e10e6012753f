"""Magics that an export of a notebook has commented out, or turned into calls."""

import ast
import re
from collections.abc import Iterator

from handgrad.notebook.execution import the_shell
from handgrad.notebook.syntax import ParsedCell
from handgrad.notebook.syntax_trees import tree_of

__all__ = ["called", "is_cell_magic", "restored"]

_COMMENTED = re.compile(
    r"(?P<indent>[ \t]*)# ?"
    r"(?P<statement>(?:[A-Za-z_]\w*[ ]?=[ ]?)?(?:(?P<mark>%%?)(?P<name>[A-Za-z]\w*)(?P<rest>.*)"
    r"|!{1,2}(?:[a-z][\w.-]*(?=\s|$)|[~./$]\S).*))"
)
"""A magic or a shell command in a comment: without a space before its name, as nobody writes ``# % of the batch``."""
_TIMING = ("time", "timeit", "prun")
"""Magics that are followed by a statement."""
_OPTIONS = re.compile(r"(?:\s+-\w+(?:\s*\d+)?)*\s*")


def is_cell_magic(name: str) -> bool:
    """Whether IPython knows a magic for whole cells, ``%%name``."""
    return the_shell().find_cell_magic(name) is not None


def restored(source: str) -> str:
    """The source of an exported cell with the magics that are comments in it.

    A comment is a magic if IPython knows its name, if it is where a statement can be, and if what remains is still
    Python. A cell that is not Python as it is has magics that are not commented out: it is not changed.
    """
    if "#" not in source or not ("%" in source or "!" in source):
        return source
    tree = tree_of(source)
    if tree is None:
        return source
    lines = source.split("\n")
    taken = _continued(tree)
    for index, line in enumerate(lines):
        found = _COMMENTED.fullmatch(line)
        if found and index + 1 not in taken and _is_magic(found, first=not any(map(str.strip, lines[:index]))):
            lines[index] = found["indent"] + found["statement"]
    text = "\n".join(lines)
    return text if text == source or ParsedCell.of(text) is not None or text.startswith("%%") else source


def called(source: str) -> str:
    """The source of a cell with magics for the calls that nbconvert writes in their place.

    Otherwise an answer in ``get_ipython().run_cell_magic('time', '', 'dprobs = ...')`` would only be a text.
    """
    tree = tree_of(source) if "get_ipython()." in source else None
    if tree is None:
        return source
    lines = source.split("\n")
    for statement, method, words in reversed([*_calls(tree)]):
        match method, words:
            case "run_cell_magic", (name, line, body) if len(tree.body) == 1:
                return f"%%{name} {line}".rstrip() + f"\n{body}"
            case ("run_line_magic", (_, _)) | ("magic", (_,)):
                lines[statement.lineno - 1 : statement.end_lineno] = [f"%{' '.join(words)}".rstrip()]
    return "\n".join(lines)


def _calls(tree: ast.Module) -> Iterator[tuple[ast.stmt, str, tuple[str, ...]]]:
    """The statements that only call a method of IPython's shell with texts: the method's name, and the texts."""
    for statement in tree.body:
        match statement:
            case ast.Expr(
                value=ast.Call(
                    func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr=method), args=arguments
                )
            ):
                words = [word.value for word in arguments if isinstance(word, ast.Constant)]
                if len(words) == len(arguments) and all(isinstance(word, str) for word in words):
                    yield statement, method, tuple(map(str, words))


def _is_magic(found: re.Match[str], first: bool) -> bool:
    """Whether a comment that looks like a magic is one; ``first`` if only blank lines are before it."""
    if found["name"] is None:
        return True
    if found["mark"] == "%%":
        return first and is_cell_magic(found["name"])
    if found["name"] in _TIMING:
        return tree_of(_OPTIONS.sub("", found["rest"], count=1)) is not None
    return the_shell().find_line_magic(found["name"]) is not None


def _continued(tree: ast.Module) -> set[int]:
    """Numbers of the lines at which no statement can begin, since they are inside one: in brackets, or in a string."""
    inside: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.expr, ast.stmt)) and not hasattr(node, "body"):
            inside.update(range(node.lineno + 1, (node.end_lineno or node.lineno) + 1))
    return inside
