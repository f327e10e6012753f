"""Recognise the forward pass of an exercise in a notebook: by its names, and by what its lines give."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from handgrad.own_forward_pass.answers import Answers
from handgrad.own_forward_pass.graphs import Graphs
from handgrad.own_forward_pass.notebook_run import NotebookRun

__all__ = ["ExerciseLines", "Match", "match_exercise"]

ENOUGH = 0.8
"""Share of an exercise's tensors that a notebook must have, to be taken for it."""
CLOSE = 1e-4
"""Largest difference of two forward tensors that are the same, as a share of their scale."""


@dataclass(frozen=True)
class ExerciseLines:
    """The forward pass of an exercise.

    Attributes
    ----------
    gradients
        For each gradient that it asks for, the tensor.
    lines
        For each tensor that one line assigns, the expression in that line; in forward order.
    numbers
        The names of sizes and constants, with the lines that assign them.
    """

    name: str
    gradients: Mapping[str, str]
    lines: Mapping[str, str]
    numbers: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The record as plain data."""
        return {key: dict(value) if isinstance(value, Mapping) else value for key, value in vars(self).items()}


@dataclass(frozen=True)
class Match:
    """An exercise found in a notebook: for each of its tensors the identities of the notebook's."""

    name: str
    gradients: Mapping[str, str]
    tensors: Mapping[str, list[int]]
    notes: tuple[str, ...] = ()


def match_exercise(
    exercises: Sequence[ExerciseLines], answers: Answers, graphs: Graphs, run: NotebookRun
) -> Match | None:
    """The exercise whose forward pass the notebook has, the largest if there are several; None if it has none."""
    matches = [_Matching(one, answers, graphs, run).match() for one in exercises]
    found = [one for one in matches if one is not None]
    return max(found, key=lambda one: len(one.tensors), default=None)


class _Matching:
    """One exercise laid onto one notebook, in the order of the exercise's lines."""

    def __init__(self, exercise: ExerciseLines, answers: Answers, graphs: Graphs, run: NotebookRun) -> None:
        self.exercise, self.answers, self.graphs = exercise, answers, graphs
        self.namespace = {name: value for name, value in run.namespace.items() if not name.startswith("__hg_")}
        self.by_name: dict[str, list[int]] = {}
        for key, name in answers.names.items():
            self.by_name.setdefault(name, []).append(key)
        self.found: dict[str, list[int]] = {}
        self.differing: list[str] = []
        self.renamed: dict[str, str] = {}

    def match(self) -> Match | None:
        wanted = set(self.exercise.gradients.values())
        values = self._values()
        for tensor in [*(wanted - self.exercise.lines.keys()), *self.exercise.lines]:
            if tensor in self.by_name:
                self.found[tensor] = self.by_name[tensor]
        if len(self.found.keys() & wanted) < 2:
            self._find_leaves(values)
        for tensor, expression in self.exercise.lines.items():
            given = self._evaluated(expression, values)
            if tensor in self.found:
                self._compare(tensor, given)
            elif given is not None and (keys := self._equal(given)):
                self.found[tensor] = keys
                self.renamed[self.answers.names[keys[0]]] = tensor
            keys = self.found.get(tensor, [])
            if keys:
                values[tensor] = self.graphs.tensors[keys[0]].detach()
            elif given is not None:
                values[tensor] = given
        if len(self.found.keys() & wanted) < ENOUGH * len(wanted):
            return None
        return Match(self.exercise.name, self.exercise.gradients, self.found, tuple(self._notes()))

    def _values(self) -> dict[str, Any]:
        """What the lines of the exercise may use: the notebook's names."""
        values = dict(self.namespace)
        for tensor, keys in self.by_name.items():
            values[tensor] = self.graphs.tensors[keys[0]].detach()
        for name, expression in self.exercise.numbers.items():
            if name not in values and (number := self._evaluated(expression, values)) is not None:
                values[name] = number
        return values

    def _find_leaves(self, values: dict[str, Any]) -> None:
        """Nothing is called as in the exercise: no leaf is known, so no line can be evaluated."""

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
        """Note a tensor that has the exercise's name and other values than its line gives."""
        theirs = self.graphs.tensors[self.found[tensor][0]]
        if isinstance(given, torch.Tensor) and not _is_same(theirs, given):
            self.differing.append(tensor)

    def _notes(self) -> list[str]:
        notes = []
        if self.differing:
            first = self.differing[0]
            notes.append(
                f"Your {first} is not what `{first} = {self.exercise.lines[first]}` gives, the line of {self.exercise.name}: "
                "the gradients were judged by your own line."
            )
        return notes


def _is_same(tensor: torch.Tensor, given: torch.Tensor) -> bool:
    if tuple(tensor.shape) != tuple(given.shape):
        return False
    if not given.numel():
        return True
    difference = float((tensor.detach().double() - given.double()).abs().max())
    return difference <= CLOSE * max(float(given.abs().max()), 1e-6)
