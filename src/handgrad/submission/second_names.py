"""Statements that write into a gradient without its name: through another name of it, a row, a function."""

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from handgrad.notebook.syntax import Statement

__all__ = ["with_second_names"]

_VIEWS = ("T", "data", "mT", "H")
# fmt: off
_VIEW_METHODS = frozenset((
    "view", "reshape", "t", "transpose", "permute", "squeeze", "unsqueeze", "numpy", "flatten", "detach", "expand",
    "expand_as", "unbind", "narrow", "select", "chunk", "split", "contiguous", "ravel", "swapaxes", "diagonal",
))
# fmt: on
"""Methods whose result shares its memory with the tensor."""
_PASSED_ON = ("enumerate", "zip", "reversed", "list", "tuple", "iter")
"""Functions whose items are those of their arguments."""
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


_Place = TypeVar("_Place")


def with_second_names(steps: Mapping[_Place, Statement], gradients: Collection[str]) -> dict[_Place, Statement]:
    """The statements of a notebook, in order; each with the ``gradients`` among what it assigns by other names.

    Names of other gradients do not count: ``dlogits = dnorm_logits`` begins another answer.
    """
    found: dict[_Place, Statement] = {}
    known = _SecondNames(gradients)
    for place, step in steps.items():
        more = known.written_by(step.node) - {name for name, written in step.assignments if written}
        assignments = (*step.assignments, *((name, True) for name in sorted(more)))
        found[place] = replace(step, assignments=assignments) if more else step
    return found


class _SecondNames:
    """The names that share their memory with a gradient, as far as the statements have been read."""

    def __init__(self, gradients: Collection[str]) -> None:
        self.gradients = set(gradients)
        self._owners: dict[str, set[str]] = {}
        self._globals: dict[str, set[str]] = {}

    def written_by(self, statement: ast.stmt) -> set[str]:
        """The gradients that a statement writes into through other names."""
        if isinstance(statement, _FUNCTIONS):
            declared = [node.names for node in ast.walk(statement) if isinstance(node, ast.Global)]
            self._globals[statement.name] = self.gradients & {name for names in declared for name in names}
            return set()
        nodes = list(ast.walk(statement))
        for node in nodes:
            self._read(node)
        return {name for node in nodes for name in self._written(node)}

    def _read(self, node: ast.AST) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                names = [target.id for target in targets if isinstance(target, ast.Name)]
                for name in names:
                    self._name(name, {*self._shared([value]), *(self.gradients & {*names} - {name})})
            case ast.For(target=target, iter=iterated):
                items = _items(iterated)
                for part in ast.walk(target):
                    if isinstance(part, ast.Name):
                        self._name(part.id, set(self._shared(items)))

    def _name(self, name: str, owners: set[str]) -> None:
        if name not in self.gradients:
            self._owners[name] = owners

    def _shared(self, values: Iterable[ast.expr]) -> Iterator[str]:
        """The gradients with which values share their memory."""
        for value in values:
            root = _root(value)
            yield from {root} & self.gradients
            yield from self._owners.get(root, ())

    def _written(self, node: ast.AST) -> Iterator[str]:
        match node:
            case ast.Assign(targets=targets):
                for target in targets:
                    yield from self._of_target(target)
            case ast.AugAssign(target=target) | ast.keyword(arg="out", value=target):
                yield from self._owners.get(_root(target), ())
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=target, attr=method))) if method.endswith("_"):
                yield from self._owners.get(_root(target), ())
            case ast.Expr(value=ast.Call(func=ast.Attribute(), args=[first, *_])):
                # operator.iadd(d, ...), np.add.at(d.numpy(), ...)
                yield from self._shared([first])
            case ast.Call(func=ast.Name(id=name)):
                yield from self._globals.get(name, ())

    def _of_target(self, target: ast.expr) -> Iterator[str]:
        match target:
            case ast.Subscript(value=ast.Call(func=ast.Name(id="globals")), slice=ast.Constant(value=str(name))):
                yield from {name} & self.gradients
            case ast.Subscript() | ast.Attribute():
                yield from self._owners.get(_root(target), ())


def _root(value: ast.expr) -> str:
    """The name of the tensor that an expression is, or is a view of; empty if it makes a new one."""
    match value:
        case ast.Name(id=name):
            return name
        case ast.Subscript(value=inner) | ast.Starred(value=inner):
            return _root(inner)
        case ast.Attribute(value=inner, attr=attr) if attr in _VIEWS:
            return _root(inner)
        case ast.Call(func=ast.Attribute(value=inner, attr=method)) if method in _VIEW_METHODS:
            return _root(inner)
    return ""


def _items(iterated: ast.expr) -> list[ast.expr]:
    """What a loop goes over: of ``enumerate(rows)`` and ``zip(rows, others)`` the arguments."""
    match iterated:
        case ast.Call(func=ast.Name(id=name), args=args) if name in _PASSED_ON:
            return args
    return [iterated]
