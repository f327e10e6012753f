"""What the source of a cell assigns, by its syntax alone; nothing is run."""

import ast
import io
import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from handgrad.cells import the_shell

__all__ = ["Parsed", "assigned", "assigning_lines", "compared", "in_place_lines", "is_untouched", "same"]

MAX_SOURCE = 1_000_000
"""Characters of the longest cell that is looked into."""
_MAGIC = re.compile(r"\s*%%(time|timeit|capture|prun)\b[^\n]*")
"""A cell magic behind which Python stands."""
_TIMED = re.compile(r"^%time[ \t]+", re.MULTILINE)
"""A line magic that hides an assignment from Python's parser."""
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True)
class Parsed:
    """A cell as Python.

    Attributes
    ----------
    lines
        Its lines, as IPython makes them.
    body
        Its statements.
    dumps
        The syntax of each statement: of the same statement it is the same.
    assignments
        For each statement the names that it assigns, and whether to something other than None or ``...``.
    whole
        Whether the cell may not be cut, because of the magic that it begins with.
    """

    lines: tuple[str, ...]
    body: tuple[ast.stmt, ...]
    dumps: tuple[str, ...]
    assignments: tuple[tuple[tuple[str, bool], ...], ...]
    whole: bool

    @classmethod
    def of(cls, source: str) -> Self | None:
        """The cell with this source; None where it is not Python."""
        if len(source) > MAX_SOURCE:
            return None
        source = _TIMED.sub("", source)
        magic = _MAGIC.match(source)
        try:
            text = "#" + source[magic.end() :] if magic else the_shell().transform_cell(source)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                body = ast.parse(text).body
            dumps = tuple(ast.dump(statement) for statement in body)
            assignments = tuple(tuple(_assignments(statement)) for statement in body)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
        lines = io.StringIO(text, newline="\n").readlines()
        return cls(tuple(lines), tuple(body), dumps, assignments, magic is not None)

    def names(self) -> set[str]:
        """What the cell assigns, functions and classes included, imports left out."""
        return {name for names in self.assignments for name, _ in names}

    def ends(self, names: Collection[str]) -> dict[str, int]:
        """For each of ``names`` that the cell assigns, the index of the last statement that does."""
        found: dict[str, int] = {}
        for index, assignments in enumerate(self.assignments):
            found.update({name: index for name, written in assignments if written and name in names})
        return found

    def cut(self, names: Collection[str]) -> list[tuple[str, tuple[str, ...]]]:
        """The cell in pieces, with the names whose last assignment stands in each, at its end where lines allow it.

        A line keeps its number: what stands before a piece is blanked out in it.
        """
        if self.whole:
            return []
        pieces: list[tuple[str, tuple[str, ...]]] = []
        ends = self.ends(names)
        start = 0
        waiting: list[str] = []
        for index, statement in enumerate(self.body):
            waiting += [name for name in names if ends.get(name) == index]
            last = index == len(self.body) - 1
            end = len(self.lines) if last else statement.end_lineno or 0
            if last or (waiting and _first_line(self.body[index + 1]) > end):
                text = "#\n" * start + "".join(self.lines[start:end])
                if isinstance(statement, ast.Expr) and not last:
                    text += "pass\n"  # only the last expression of a whole cell shows its value
                pieces.append((text, tuple(waiting)))
                start, waiting = end, []
        return pieces

    def without(self, others: Sequence["Parsed"]) -> str:
        """The cell without the statements that stand in one of ``others`` too, or assign what it assigns."""
        lines = list(self.lines)
        names = {name for other in others for name in other.names()}
        known = {dump for other in others for dump in other.dumps}
        for statement, dump, assignments in zip(self.body, self.dumps, self.assignments, strict=True):
            if dump in known or any(name in names for name, _ in assignments):
                for number in range(_first_line(statement), (statement.end_lineno or 0) + 1):
                    lines[number - 1] = "#\n"
        return "".join(lines)


def assigned(source: str, name: str) -> bool:
    """Whether the cell assigns something to ``name``, in whole or in part; None and ``...`` are nothing."""
    parsed = Parsed.of(source) if name in source else None
    return parsed is not None and bool(parsed.ends([name]))


def assigning_lines(sources: Iterable[str]) -> dict[str, str]:
    """For each name, the statement that assigns it alone and for the last time, where it stands on one line."""
    found: dict[str, str] = {}
    for parsed in filter(None, map(Parsed.of, sources)):
        for statement in parsed.body:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)]) if statement.lineno == statement.end_lineno:
                    found[name] = ast.get_source_segment("".join(parsed.lines), statement) or ""
    return found


def in_place_lines(source: str) -> list[int]:
    """Numbers of the lines of a cell that write into what is there: ``+=``, ``x[...] =`` and ``x.add_()``."""
    parsed = Parsed.of(source)
    found = []
    for node in (node for statement in (parsed.body if parsed else ()) for node in ast.walk(statement)):
        match node:
            case ast.AugAssign() | ast.Assign(targets=[ast.Subscript(), *_]):
                found.append(node.lineno)
            case ast.Call(func=ast.Attribute(attr=method)) if _in_place(method):
                found.append(node.lineno)
    return sorted(set(found))


def is_untouched(source: str, name: str) -> bool:
    """Whether an answer cell for ``name`` holds nothing, or nothing but what it held when it was released."""
    parsed = Parsed.of(source)
    return parsed is not None and all(_is_nothing(statement, name) for statement in parsed.body)


def compared(source: str) -> list[str]:
    """Names of the tensors that a cell compares which does nothing but call ``cmp``; empty for any other cell."""
    parsed = Parsed.of(source) if "cmp" in source else None
    names: list[str] = []
    for statement in parsed.body if parsed else ():
        match statement:
            case ast.Expr(value=ast.Call(func=ast.Name(id="cmp"), args=[ast.Constant(value=str(name)), *_])):
                names.append(name)
            case _:
                return []
    return names


def same(one: str, other: str) -> bool:
    """Whether two sources differ in nothing but white space."""
    return "".join(one.split()) == "".join(other.split())


def _first_line(statement: ast.stmt) -> int:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return min(node.lineno for node in (statement, *statement.decorator_list))
    return statement.lineno


def _is_nothing(statement: ast.stmt, name: str) -> bool:
    match statement:
        case ast.Pass() | ast.Expr(value=ast.Constant()) | ast.Raise(exc=ast.Name(id="NotImplementedError")):
            return True
        case ast.Raise(exc=ast.Call(func=ast.Name(id="NotImplementedError"))):
            return True
        case ast.Assign(targets=[ast.Name(id=target)], value=ast.Constant(value=value)):
            return target == name and (value is None or value is ...)
    return False


def _assignments(statement: ast.stmt) -> Iterator[tuple[str, bool]]:
    """Every name that a statement assigns, also in a block of its own, and whether to something other than nothing."""
    nodes: list[ast.AST] = [statement]
    while nodes:
        node = nodes.pop()
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, True
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    for name in _bases(target):
                        yield name, not (isinstance(value, ast.Constant) and value.value in (None, ...))
            case ast.AnnAssign(target=target, value=value) if value is not None:
                yield from ((name, True) for name in _bases(target))
            case (
                ast.AugAssign(target=target)
                | ast.NamedExpr(target=target)
                | ast.For(target=target)
                | ast.withitem(optional_vars=ast.expr() as target)
                | ast.keyword(arg="out", value=target)
            ):
                yield from ((name, True) for name in _bases(target))
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=target, attr=method))) if _in_place(method):
                yield from ((name, True) for name in _bases(target))
        if not isinstance(node, (*_FUNCTIONS, *_COMPREHENSIONS)):
            nodes += ast.iter_child_nodes(node)


def _in_place(method: str) -> bool:
    """Whether a tensor's method of this name changes the tensor: ``index_add_``."""
    return method.endswith("_") and not method.endswith("__")


def _bases(target: ast.expr) -> Iterator[str]:
    """The names behind a target: ``dC`` of ``dC[ix]``, ``a`` and ``b`` of ``(a, *b)``."""
    match target:
        case ast.Name(id=name):
            yield name
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            for part in parts:
                yield from _bases(part)
        case ast.Attribute(value=inner) | ast.Subscript(value=inner) | ast.Starred(value=inner) | ast.Call(func=inner):
            yield from _bases(inner)
