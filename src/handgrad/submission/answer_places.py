"""Where a notebook answers gradients whose stubs have lost their ids: by the names that statements assign."""

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

from handgrad.exercise.exercise import Exercise
from handgrad.notebook.syntax import ParsedCell, Statement, compared_by

__all__ = ["AnswerPlaces", "StatementPosition"]


class StatementPosition(NamedTuple):
    """A statement: the position of its cell in the notebook, and its index in the cell."""

    position: int
    step: int


class AnswerPlaces:
    """The statements of a notebook, and which of them answer what.

    Parameters
    ----------
    cells
        The code cells, by their position in the notebook; None for one that is not Python.
    exercise
        The exercise that the notebook answers.
    """

    def __init__(self, cells: Mapping[int, ParsedCell | None], exercise: Exercise) -> None:
        self.exercise = exercise
        self.steps = {
            StatementPosition(position, index): step
            for position, parsed in cells.items()
            if parsed
            for index, step in enumerate(parsed.steps)
        }
        self._assigned: dict[str, list[tuple[StatementPosition, bool]]] = {}
        for place, step in self.steps.items():
            if not self.is_training(step):
                for name in {name for name, _ in step.assignments}:
                    self._assigned.setdefault(name, []).append((place, step.writes(name)))
        self._compared = {place: compared_by(step.node) for place, step in self.steps.items()}

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

    def find(self, stubs: Collection[str], checks: Mapping[str, int]) -> dict[str, StatementPosition]:
        """For each of ``stubs`` that is assigned, the statement at which its answer ends.

        It ends before the last comparison that still belongs to the exercise. Comparisons after every gradient has been
        assigned (and compared, if it is) belong to what follows: the closed forms, the training.

        Parameters
        ----------
        checks
            By gradient, the position of its check cell, if that still has its id.
        """
        written = {stub: places for stub in stubs if (places := self.written(stub))}
        compared = {stub: self._comparisons(stub) for stub in written}
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

    def _comparisons(self, stub: str) -> list[StatementPosition]:
        """Where the tensor of ``stub`` is compared."""
        tensor = self.exercise.tensors[stub]
        return [place for place, name in self._compared.items() if name == tensor]


def mentioned(sources: Mapping[int, str], stub: str) -> Iterator[int]:
    """Of these cells, which are not Python, those that seem to assign ``stub``."""
    pattern = re.compile(rf"^\s*{re.escape(stub)}\s*=[^=]", re.MULTILINE)
    yield from (position for position, source in sources.items() if pattern.search(source))
