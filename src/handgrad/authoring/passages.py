"""Passages: the lines of a script that lead from a tensor to a consumer, as the text above a stub shows them."""

import ast
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from handgrad.notebook.syntax import statements_of

__all__ = ["Passages"]

_BLOCKS = ("body", "handlers", "orelse", "finalbody")
"""Fields of a statement that hold others."""
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class _Part:
    """A statement without others in it, or the header of a block; ``above`` are the lines of all headers around it."""

    lines: range
    reads: frozenset[str]
    binds: frozenset[str]
    above: tuple[int, ...]


@dataclass(frozen=True)
class Passages:
    """The ``rows`` of a script, and the statement or header ``at`` each line number."""

    rows: Sequence[str]
    at: Mapping[int, _Part]

    @classmethod
    def of(cls, text: str) -> Self:
        """The passages of a script."""
        parts = (part for node in ast.parse(text).body for part in _parts(node))
        return cls(text.splitlines(), {line: part for part in parts for line in part.lines})

    def lines(
        self, tensor: str, made: Iterable[int], ends: Iterable[range], traced: Collection[int], cut: Collection[str]
    ) -> set[int]:
        """The line numbers of a passage, with the headers around them.

        Parameters
        ----------
        tensor
            The name that it begins with.
        made
            The lines on which autograd makes the steps from the tensor to its consumer. Where the value goes from one
            to another without a step, through a list or an attribute, these lines belong to the passage too.
        ends
            The statements that assign the consumer: if the passage has nothing of a statement, it gets all of it.
        traced
            The lines on which autograd makes any step.
        cut
            The names through which no passage goes: the named tensors, and modules.
        """
        steps = self._parts(made)
        for end in map(self._parts, ends):
            steps |= end if steps.isdisjoint(end) else set()
        silent = {part for part in self.at.values() if not any(line in traced for line in part.lines)}
        flows = [(part.reads, part.binds.difference(cut)) for part in silent]
        reached = _closure({tensor}.union(*(part.binds.difference(cut) for part in steps)), flows)
        wanted = _closure(set().union(*(part.reads for part in steps)), [(binds, reads) for reads, binds in flows])
        between = {
            part
            for part in silent
            if not part.reads.isdisjoint(reached) and not part.binds.difference(cut).isdisjoint(wanted)
        }
        return {line for part in steps | between for line in (*part.above, *part.lines)}

    def shown(self, lines: Collection[int], comments: Mapping[int, str]) -> str:
        """The source of these lines, with ``comments`` after some; an empty block has dots."""
        rows: list[str] = []
        for line, following in itertools.zip_longest(sorted(lines), sorted(lines)[1:]):
            row = self.rows[line - 1]
            rows.append(f"{row}    # {comments[line]}" if line in comments else row)
            if following and row.rstrip().endswith(":") and _indent(self.rows[following - 1]) <= _indent(row):
                rows.append(f"{' ' * (_indent(row) + 4)}...")
        return "\n".join(rows)

    def _parts(self, lines: Iterable[int]) -> set[_Part]:
        return {self.at[line] for line in lines if line in self.at}


def _closure(names: set[str], flows: Sequence[tuple[Collection[str], Collection[str]]]) -> set[str]:
    """``names``, and those that the flows lead to from any of them."""
    found: set[str] = set()
    while names - found:
        found |= names
        names = found.union(*(targets for sources, targets in flows if not found.isdisjoint(sources)))
    return found


def _indent(row: str) -> int:
    return len(row) - len(row.lstrip())


def _parts(node: Any, above: tuple[int, ...] = ()) -> Iterator[_Part]:
    """The statements in a node and the headers of its blocks."""
    if isinstance(node, ast.stmt) and not hasattr(node, "body"):
        reads, binds = _names([node])
        bound = {name for statement in statements_of([node]) for name in statement.bound}
        yield _Part(range(node.lineno, (node.end_lineno or 0) + 1), reads, binds | bound, above)
        return
    # the parameters of a function are its own
    own = [] if isinstance(node, _DEFINITIONS) else [part for part in ast.iter_child_nodes(node) if not _is_inner(part)]
    begin = getattr(node, "lineno", 1)
    for block in filter(None, (getattr(node, name, None) for name in _BLOCKS)):
        header = range(begin, min(part.lineno for part in (block[0], *getattr(block[0], "decorator_list", ()))))
        if header:
            yield _Part(header, *_names(own), above)
        above = (*above, *header)
        for inner in block:
            yield from _parts(inner, above)
        begin, own = block[-1].end_lineno + 1, []


def _is_inner(node: ast.AST) -> bool:
    return isinstance(node, (ast.stmt, ast.excepthandler))


def _names(nodes: Iterable[ast.AST]) -> tuple[frozenset[str], frozenset[str]]:
    """The names that nodes read, and those that they bind or change: ``hs`` in ``hs.append(h)`` and ``hs[0] = h``."""
    changed: list[ast.AST] = []
    inside = [part for node in nodes for part in ast.walk(node)]
    for part in inside:
        match part:
            case ast.Expr(value=ast.Call(func=ast.Attribute() as owner)):
                changed += ast.walk(owner)
            case ast.Subscript(value=owner, ctx=ast.Store()) | ast.Attribute(value=owner, ctx=ast.Store()):
                changed += ast.walk(owner)
    names = {part: part.id for part in inside if isinstance(part, ast.Name)}
    bound = {name for name in names if name in changed or not isinstance(name.ctx, ast.Load)}
    return frozenset(names[name] for name in names.keys() - bound), frozenset(names[name] for name in bound)
