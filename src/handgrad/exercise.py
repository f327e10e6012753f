"""Exercise: what one instructor notebook asks for, read from the notebook alone."""

import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from nbformat import NotebookNode

from handgrad import notebooks
from handgrad.errors import ExerciseError
from handgrad.sources import gradients_taken

__all__ = ["Cell", "Check", "Exercise", "closest", "grade_id", "is_exercise", "kind_of"]

Kind = Literal["text", "locked", "stub", "check", "free"]
PARAMETERS_TAG = "parameters"
_IMPORTS = re.compile(r"^\s*(from|import) handgrad\b", re.MULTILINE)
_HIDDEN_TESTS = re.compile(r"BEGIN HIDDEN TESTS")


@dataclass(frozen=True)
class Cell:
    """One cell: what it is for, its nbgrader grade_id (may be empty), its source."""

    kind: Kind
    name: str
    source: str


@dataclass(frozen=True)
class Check:
    """A graded cell: its grade_id, the gradient that it is about, its points, its source with the hidden tests."""

    id: str
    gradient: str
    points: float
    source: str

    @property
    def has_hidden_tests(self) -> bool:
        """Whether a part of the check is kept from students."""
        return bool(_HIDDEN_TESTS.search(self.source))


def grade_id(cell: NotebookNode) -> str:
    """The cell's nbgrader id; empty where it has none."""
    metadata = cell.metadata.get("nbgrader")
    name = metadata.get("grade_id", "") if isinstance(metadata, Mapping) else ""
    return name if isinstance(name, str) else ""


def kind_of(cell: NotebookNode) -> Kind:
    """What the cell is for, by its nbgrader metadata."""
    if cell.cell_type != "code":
        return "text"
    metadata = cell.metadata.get("nbgrader")
    if not isinstance(metadata, Mapping) or not grade_id(cell):
        return "free"
    if metadata.get("grade"):
        return "check"
    if metadata.get("solution"):
        return "stub"
    return "locked" if metadata.get("locked") else "free"


def is_exercise(notebook: NotebookNode) -> bool:
    """Whether ``notebook`` is meant to be an exercise of ours: it has a parameters cell and imports handgrad."""
    return any(PARAMETERS_TAG in (cell.metadata.get("tags") or ()) for cell in notebook.cells) and any(
        cell.cell_type == "code" and _IMPORTS.search(cell.source) for cell in notebook.cells
    )


def closest(name: str, names: Any) -> str:
    """A half sentence that suggests the likeliest of ``names``; empty where none is near."""
    near = difflib.get_close_matches(name, list(names), n=1)
    return f" Did you mean {near[0]}?" if near else ""


@dataclass(frozen=True)
class Exercise:
    """One instructor notebook, parsed.

    Attributes
    ----------
    name
        Name of the assignment and of its notebook.
    directory
        Where the notebook stands; its cells find their files there.
    cells
        Every cell, in order.
    checks
        The graded cells, in order.
    parameters_cell
        Index of the cell with the tag ``parameters``.
    """

    name: str
    directory: Path
    cells: tuple[Cell, ...]
    checks: tuple[Check, ...]
    parameters_cell: int

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the exercise in the notebook at ``path`` (the instructor's, or its released copy).

        Raises
        ------
        ExerciseError
            The file is not there, is not a notebook, or is no exercise; every fault that was found is listed.
        """
        try:
            notebook = notebooks.parse(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ExerciseError(f"there is no exercise at {path}: no such file.") from None
        except (OSError, ValueError) as error:
            raise ExerciseError(f"{path} is not a notebook that can be read ({error}).") from error
        return cls.of(notebook, path.stem, path.parent)

    @classmethod
    def of(cls, notebook: NotebookNode, name: str, directory: Path) -> Self:
        """The exercise in ``notebook``; raises :class:`ExerciseError` with every fault that was found."""
        cells = tuple(Cell(kind_of(cell), grade_id(cell), cell.source) for cell in notebook.cells)
        names = [cell.name for cell in cells if cell.name]
        stubs = {cell.name for cell in cells if cell.kind == "stub"}
        faults = [f"grade_id {one!r} is used more than once" for one in sorted(set(names)) if names.count(one) > 1]
        checks = []
        for cell, node in zip(cells, notebook.cells, strict=True):
            if cell.kind != "check":
                continue
            points = node.metadata.nbgrader.get("points", 0)
            gradient = cell.name.removeprefix("check_")
            if gradient not in stubs:
                faults.append(
                    f"check {cell.name!r} has no stub: a check is called check_ and the grade_id of its stub."
                    + closest(gradient, stubs)
                )
            if not isinstance(points, (int, float)) or points < 0:
                faults.append(f"check {cell.name!r} has points {points!r}")
            else:
                checks.append(Check(cell.name, gradient, float(points), cell.source))
        for stub in sorted(stubs - {check.gradient for check in checks}):
            faults.append(f"stub {stub!r} has no check: add a graded cell check_{stub} after it")
        tagged = [
            index for index, node in enumerate(notebook.cells) if PARAMETERS_TAG in (node.metadata.get("tags") or ())
        ]
        if len(tagged) != 1:
            faults.append(f"{len(tagged)} cells carry the tag 'parameters'; the one that sets `seed` must")
        if not stubs:
            faults.append("there is no stub: no code cell is marked as a solution")
        if faults:
            raise ExerciseError(f"{directory / (name + '.ipynb')} is no exercise: " + "; ".join(faults) + ".")
        return cls(name, directory, cells, tuple(checks), tagged[0])

    @cached_property
    def stubs(self) -> tuple[str, ...]:
        """Names of the stubs, which are the names of the gradients, in order."""
        return tuple(cell.name for cell in self.cells if cell.kind == "stub")

    @cached_property
    def tensors(self) -> dict[str, str]:
        """The tensor of each gradient: ``dprobs`` is the gradient of ``probs``."""
        return {stub: stub.removeprefix("d") for stub in self.stubs}

    @cached_property
    def givens(self) -> dict[str, str]:
        """The gradients without a stub that a locked cell takes from autograd, each with its tensor."""
        taken = gradients_taken(cell.source for cell in self.cells if cell.kind == "locked")
        return {gradient: tensor for gradient, tensor in taken.items() if gradient not in self.stubs}

    @cached_property
    def named(self) -> dict[str, str]:
        """The named tensor of each gradient: of those with a stub, and of those that are given."""
        return {**self.tensors, **self.givens}

    @cached_property
    def first_stub(self) -> int:
        """Index of the first stub's cell."""
        return next(index for index, cell in enumerate(self.cells) if cell.kind == "stub")

    def check_of(self, gradient: str) -> Check:
        """The check of a gradient."""
        return next(check for check in self.checks if check.gradient == gradient)

    def setup_names(self) -> tuple[str, ...]:
        """grade_ids of the locked cells before the first stub, in order."""
        return tuple(cell.name for cell in self.cells[: self.first_stub] if cell.kind == "locked")

    def setup(self, parameters: Mapping[str, Any]) -> tuple[str, ...]:
        """Sources of the locked cells before the first stub, ``parameters`` set after the cell with that tag."""
        sources: list[str] = []
        for index, cell in enumerate(self.cells[: self.first_stub]):
            if cell.kind == "locked":
                sources.append(cell.source)
            if index == self.parameters_cell and parameters:
                sources.append("\n".join(f"{name} = {value!r}" for name, value in parameters.items()))
        return tuple(sources)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the names, kinds, points and sources of all cells: another exercise has another digest."""
        content: list[Any] = [[cell.kind, cell.name, cell.source] for cell in self.cells]
        content.append([[check.id, check.points] for check in self.checks])
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()
