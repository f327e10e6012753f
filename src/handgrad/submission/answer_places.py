"""Where a notebook answers gradients whose stubs have lost their ids: by the names that statements assign."""

import ast
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from nbformat import NotebookNode

from handgrad.exercise.exercise import Exercise
from handgrad.notebook.syntax import ParsedCell, Statement, compared_by
from handgrad.submission.second_names import with_second_names

__all__ = ["AnswerPlaces", "StatementPosition"]


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
