"""Recognise the forward pass of an exercise in a notebook: by its names, and by what its lines give."""

import ast
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch

from handgrad.notebook.syntax_trees import tree_of
from handgrad.own_forward_pass.answers import Answers, agree
from handgrad.own_forward_pass.graphs import Graphs
from handgrad.own_forward_pass.marks import MARKS
from handgrad.own_forward_pass.notebook_run import NotebookRun

__all__ = ["ExerciseLines", "Match", "match_exercise"]

ENOUGH = 0.8
"""Share of an exercise's tensors that a notebook must have, to be taken for it."""
SMALLEST = 1e-10
"""A difference of two forward tensors that is never more than rounding."""


@dataclass(frozen=True)
class ExerciseLines:
    """The forward pass of an exercise.

    ``gradients`` has the tensor of each gradient that it asks for, ``lines`` for each tensor that one line assigns the
    expression in that line, in forward order.
    """

    name: str
    gradients: Mapping[str, str]
    lines: Mapping[str, str]

    @classmethod
    def of(cls, name: str, gradients: Mapping[str, str], tensors: Collection[str], setup: Iterable[str]) -> Self:
        """The forward pass in the cells ``setup``: the lines that compute one of ``tensors`` from another."""
        lines: dict[str, str] = {}
        for source in setup:
            for statement in ast.parse(source).body:
                match statement:
                    case ast.Assign(targets=[ast.Name(id=target)], value=value) if target in tensors:
                        if any(isinstance(part, ast.Name) and part.id in tensors for part in ast.walk(value)):
                            lines[target] = ast.unparse(value)
        return cls(name, dict(gradients), lines)


@dataclass(frozen=True)
class Match:
    """An exercise found in a notebook: for each of its tensors the identities of the notebook's."""

    name: str
    gradients: Mapping[str, str]
    tensors: Mapping[str, list[int]]
    note: str = ""


def match_exercise(
    exercises: Sequence[ExerciseLines], answers: Answers, graphs: Graphs, lines: Mapping[str, str], run: NotebookRun
) -> Match | None:
    """The exercise whose forward pass the notebook has, the largest if there are several; None if it has none.

    ``lines`` are those that assign the notebook's forward tensors.
    """
    matches = [_Matching(exercise, answers, graphs, lines, run).match() for exercise in exercises]
    found = [match for match in matches if match is not None]
    return max(found, key=lambda match: len(match.tensors), default=None)


class _Matching:
    """One exercise laid onto one notebook, in the order of the exercise's lines."""

    def __init__(
        self, exercise: ExerciseLines, answers: Answers, graphs: Graphs, lines: Mapping[str, str], run: NotebookRun
    ) -> None:
        self.exercise, self.answers, self.graphs = exercise, answers, graphs
        self.namespace = {name: value for name, value in run.namespace.items() if name not in MARKS}
        self.by_name: dict[str, list[int]] = {}
        for key, name in answers.names.items():
            self.by_name.setdefault(name, []).append(key)
        self.lines = {name: _expression(line) for name, line in lines.items()}
        self.found: dict[str, list[int]] = {}
        self.note = ""

    def match(self) -> Match | None:
        wanted = set(self.exercise.gradients.values())
        if not wanted:
            return None
        names = {tensor: tensor for tensor in {*wanted, *self.exercise.lines} if tensor in self.by_name}
        names = self._unified(names)
        self.found = {ours: self.by_name[theirs] for ours, theirs in names.items() if theirs in self.by_name}
        values = self._values()
        values |= {ours: values[theirs] for ours, theirs in names.items() if theirs in values}
        values |= {ours: self._value(keys) for ours, keys in self.found.items()}
        for tensor, expression in self.exercise.lines.items():
            given = self._evaluated(expression, values)
            if tensor in self.found:
                self._compare(tensor, given)
            elif given is not None:
                values[tensor] = given
                if keys := self._equal(given):
                    self.found[tensor] = keys
        if len(self.found.keys() & wanted) < ENOUGH * len(wanted):
            return None
        return Match(self.exercise.name, self.exercise.gradients, self.found, self.note)

    def _values(self) -> dict[str, Any]:
        """The notebook's names as they were when the forward pass ran: a later minibatch may have the same name."""
        held = [keys[0] for keys in self.found.values()]
        self.graph = max(self.graphs.all, key=lambda graph: sum(key in graph.tensors for key in held))
        values = {name: value for name, value in self.namespace.items() if not isinstance(value, torch.Tensor)}
        values |= {
            bound.name: self.graphs.tape.value(bound.value, self.graph.before)
            for bound in self.graphs.tape.bindings
            if bound.position <= self.graph.before and isinstance(bound.value, torch.Tensor)
        }
        return values

    def _value(self, keys: Sequence[int]) -> torch.Tensor:
        """The values of a forward tensor when the loss was computed: a parameter may have been updated since."""
        key = next((key for key in keys if key in self.graph.tensors), keys[0])
        return self.graphs.tape.value(self.graphs.tensors[key], self.graph.before)

    def _unified(self, names: Mapping[str, str]) -> dict[str, str]:
        """The notebook's name for each of the exercise's, as far as their lines are the same but for names."""
        names = dict(names)
        free = {name: line for name, line in self.lines.items() if line is not None and name not in names.values()}
        for _ in range(2):
            for ours, expression in self.exercise.lines.items():
                line = _expression(f"{ours} = {expression}")
                own = {names[ours]: self.lines.get(names[ours])} if ours in names else free
                for theirs, candidate in own.items():
                    more = _same_but_names(line, candidate, {**names, ours: theirs})
                    if more is not None:
                        names = more
                        free.pop(theirs, None)
                        break
        return names

    def _evaluated(self, expression: str, values: dict[str, Any]) -> Any:
        try:
            with torch.no_grad():
                return eval(expression, dict(values))
        except Exception:
            return None

    def _equal(self, given: Any) -> list[int]:
        """The identities of the notebook's tensors with these values that have no name of the exercise."""
        if not isinstance(given, torch.Tensor) or not given.is_floating_point():
            return []
        taken = {key for keys in self.found.values() for key in keys}
        return [
            key
            for key, tensor in self.graphs.tensors.items()
            if key in self.answers.names and key not in taken and _is_same(tensor, given)
        ]

    def _compare(self, tensor: str, given: Any) -> None:
        """Note the first tensor that has the exercise's name and other values than its line gives."""
        theirs = self._value(self.found[tensor])
        if not self.note and isinstance(given, torch.Tensor) and not _is_same(theirs, given):
            self.note = (
                f"Your {tensor} is not what `{tensor} = {self.exercise.lines[tensor]}` gives, as in "
                f"{self.exercise.name}: the gradients were judged by your own line."
            )


def _expression(line: str) -> ast.expr | None:
    """The value of an assignment; None if it is none."""
    match tree_of(line):
        case ast.Module(body=[ast.Assign(value=value)]):
            return value
    return None


def _same_but_names(ours: ast.AST | None, theirs: ast.AST | None, names: dict[str, str]) -> dict[str, str] | None:
    """``names`` with those that make two expressions the same; None if they differ in more than names."""
    match ours, theirs:
        case ast.Name(id=name), ast.Name(id=other):
            if name in names:
                return names if names[name] == other else None
            return None if other in names.values() else {**names, name: other}
        case ast.Constant(value=value), ast.Constant(value=other):
            return names if value == other else None
    if ours is None or theirs is None or type(ours) is not type(theirs):
        return None
    parts = [list(ast.iter_child_nodes(node)) for node in (ours, theirs)]
    plain = [[value for _, value in ast.iter_fields(node) if isinstance(value, str)] for node in (ours, theirs)]
    if len(parts[0]) != len(parts[1]) or plain[0] != plain[1]:
        return None
    found: dict[str, str] | None = names
    for first, second in zip(*parts, strict=True):
        found = _same_but_names(first, second, found) if found is not None else None
    return found


def _is_same(tensor: torch.Tensor, given: torch.Tensor) -> bool:
    same_shape = tuple(tensor.shape) == tuple(given.shape)
    return same_shape and agree(tensor.detach().double(), given.double(), SMALLEST)
