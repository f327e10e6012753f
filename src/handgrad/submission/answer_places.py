"""Where a notebook answers gradients whose stubs have lost their ids: by the names that statements assign."""

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

from nbformat import NotebookNode

from handgrad.exercise.exercise import Exercise
from handgrad.notebook.syntax import ParsedCell, Statement, compared_by

__all__ = ["AnswerPlaces", "StatementPosition", "with_second_names"]

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


class StatementPosition(NamedTuple):
    """A statement: the position of its cell in the notebook, and its index in the cell."""

    position: int
    step: int


class AnswerPlaces:
    """The statements of a notebook, and which of them answer what.

    ``cells`` are its code cells, by their position; None for one that is not Python.
    """

    def __init__(self, nodes: Sequence[NotebookNode], exercise: Exercise) -> None:
        self.exercise = exercise
        self.cells = {at: ParsedCell.of(node.source) for at, node in enumerate(nodes) if node.cell_type == "code"}
        steps = {
            StatementPosition(position, index): step
            for position, parsed in self.cells.items()
            if parsed
            for index, step in enumerate(parsed.steps)
        }
        self.steps = with_second_names(steps, exercise.stubs)
        self._assigned: dict[str, list[tuple[StatementPosition, bool]]] = {}
        for place, step in self.steps.items():
            if not self.is_training(step):
                for name in {name for name, _ in step.assignments}:
                    self._assigned.setdefault(name, []).append((place, step.writes(name)))
        self._compared: dict[str, list[StatementPosition]] = {}
        for place, step in self.steps.items():
            self._compared.setdefault(compared_by(step.node), []).append(place)

    @cached_property
    def _forward(self) -> set[str]:
        """The named tensors, and the other names that the same locked cells assign."""
        tensors = set(self.exercise.tensor_of.values())
        locked = [ParsedCell.of(cell.source) for cell in self.exercise.cells if cell.kind == "locked"]
        return tensors.union(*(parsed.names() for parsed in locked if parsed and parsed.names() & tensors))

    def is_training(self, step: Statement) -> bool:
        """Whether a statement is a loop with its own forward pass: it trains or samples, and answers nothing."""
        names = {name for name, _ in step.assignments}
        return isinstance(step.node, (ast.For, ast.While)) and len(names & self._forward) > 1

    def written(self, stub: str) -> list[StatementPosition]:
        """Where ``stub`` is assigned, except in training loops; if only None or ``...`` is assigned, where that is."""
        named = self._assigned.get(stub, [])
        return [place for place, written in named if written] or [place for place, _ in named]

    def _compared_with(self, stub: str) -> list[StatementPosition]:
        """Where the answers of a stub are compared."""
        tensors = [self.exercise.tensors.get(answer, "") for answer in self.exercise.answers[stub]]
        return sorted(place for tensor in tensors for place in self._compared.get(tensor, []) if tensor)

    def find(self, stubs: Collection[str], checks: Mapping[str, int]) -> dict[str, StatementPosition]:
        """For each of ``stubs`` that is assigned, the statement at which its answer ends.

        It ends before the last comparison that still belongs to the exercise. Comparisons after every gradient has been
        assigned (and compared, if it is) belong to what follows: the closed forms, the training. ``checks`` has by
        gradient the position of its check cell, if that still has its id.
        """
        written = {stub: places for stub in stubs if (places := self.written(stub))}
        compared = {stub: self._compared_with(stub) for stub in written}
        firsts = [
            next((place for place in compared[stub] if place > places[0]), places[0])
            for stub, places in written.items()
        ]
        end = max(firsts, default=StatementPosition(-1, 0))
        found = {}
        for stub, places in written.items():
            until = [place for place in compared[stub] if place <= end][-1:]
            if stub in checks:
                until = [StatementPosition(checks[stub], 0)]
            before = [place for place in places if not until or place < until[0]]
            found[stub] = (before or places)[-1]
        return found


def with_second_names(
    steps: Mapping[StatementPosition, Statement], gradients: Collection[str]
) -> dict[StatementPosition, Statement]:
    """The statements of a notebook, in order; each with the ``gradients`` among what it assigns by other names.

    Names of other gradients do not count: ``dlogits = dnorm_logits`` begins another answer.
    """
    found: dict[StatementPosition, Statement] = {}
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
