"""Exercise: what one instructor notebook asks for, read from the notebook alone."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from nbformat import NotebookNode

from handgrad.errors import ExerciseError, closest
from handgrad.exercise.solution_marks import hidden_tests_in
from handgrad.notebook import tidying
from handgrad.notebook.syntax import gradients_taken

__all__ = ["Cell", "Check", "Exercise", "grade_id", "is_exercise", "kind_of"]

Kind = Literal["text", "locked", "stub", "check", "free"]
PARAMETERS_TAG = "parameters"
_IMPORTS = re.compile(r"^\s*(from|import) handgrad\b", re.MULTILINE)
METADATA = "handgrad"
"""Under this key the parameters cell's metadata say what the notebook alone cannot: see :class:`Training`."""
_COMPARES = re.compile(r"\bcmp\s*\(")
_ONLY_COMPARES = re.compile(r"cmp\((['\"])\w+\1, *\w+, *\w+\)")


@dataclass(frozen=True)
class Cell:
    """One cell: what it is for, its nbgrader grade_id (may be empty), its source."""

    kind: Kind
    name: str
    source: str


@dataclass(frozen=True)
class Check:
    """A graded cell.

    Attributes
    ----------
    id
        Its grade_id: ``check_`` and the name of the answer.
    gradient
        Name of the answer: of a gradient, or of a value.
    points
        What it is worth.
    source
        The cell, with its hidden tests.
    stub
        The stub that answers it: the one of the answer's name, else the last one above.
    """

    id: str
    gradient: str
    points: float
    source: str
    stub: str = ""

    @property
    def is_value(self) -> bool:
        """Whether the answer is no gradient: the check does not compare it with autograd's."""
        return not _COMPARES.search(self.source)

    @property
    def only_compares(self) -> bool:
        """Whether it is one call of ``cmp`` and nothing else: it asks for no further condition."""
        return bool(_ONLY_COMPARES.fullmatch(self.source.strip()))

    @property
    def is_whole(self) -> bool:
        """Whether it bears the name of its stub, and may be about all that the stub makes."""
        return self.gradient == self.stub

    @property
    def has_hidden_tests(self) -> bool:
        """Whether a part of the check is kept from students."""
        return bool(hidden_tests_in(self.source))


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


@dataclass(frozen=True)
class Training:
    """What the parameters cell's metadata say of a notebook that takes long, under the key ``handgrad``.

    Attributes
    ----------
    hidden
        What hidden passes set beside the seed, such as ``{"steps": 10}``; the least first, one round for each.
    seconds
        Seconds that one cell may take in the visible pass; None: as in any other.
    """

    hidden: tuple[Mapping[str, Any], ...] = ({},)
    seconds: float | None = None

    @classmethod
    def of(cls, metadata: Any, faults: list[str]) -> Self:
        """What ``metadata`` say; what is wrong with them is added to ``faults``."""
        known = ("hidden", "seconds")
        if not isinstance(metadata, Mapping) or not set(known).issuperset(metadata):
            faults.append(
                f"the metadata {METADATA!r} of the parameters cell hold something else than {', '.join(known)}"
            )
            return cls()
        hidden, seconds = metadata.get("hidden", {}), metadata.get("seconds")
        hidden = [hidden] if isinstance(hidden, Mapping) else hidden
        if not (isinstance(hidden, list) and hidden and all(isinstance(one, Mapping) for one in hidden)):
            faults.append(f"{METADATA}.hidden of the parameters cell is no table and no list of tables")
            hidden = [{}]
        if seconds is not None and (type(seconds) not in (int, float) or seconds <= 0):
            faults.append(f"{METADATA}.seconds of the parameters cell is {seconds!r}, not a number of seconds")
            seconds = None
        return cls(tuple(dict(one) for one in hidden), seconds)


@dataclass(frozen=True)
class Recorded:
    """What the worked solution gives for one parameter set: it travels with a release in the solution's place."""

    parameters: Mapping[str, Any]
    values: Mapping[str, Any]


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
    training
        What hidden passes set beside the seed, and how long the visible one may take.
    recorded
        What the worked solution gives, where this is a release, which has none.
    """

    name: str
    directory: Path
    cells: tuple[Cell, ...]
    checks: tuple[Check, ...]
    parameters_cell: int
    training: Training = Training()
    recorded: tuple[Recorded, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the exercise in the notebook at ``path`` (the instructor's, or its released copy).

        Raises
        ------
        ExerciseError
            The file is not there, is not a notebook, or is no exercise; every fault that was found is listed.
        """
        try:
            notebook = tidying.parse(path.read_text(encoding="utf-8"))
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
        faults = [f"grade_id {one!r} is used more than once" for one in sorted(set(names)) if names.count(one) > 1]
        points = [
            cell.metadata["nbgrader"].get("points", 0) if kind_of(cell) == "check" else 0 for cell in notebook.cells
        ]
        checks = _checks(cells, points, faults)
        tagged = [
            index for index, node in enumerate(notebook.cells) if PARAMETERS_TAG in (node.metadata.get("tags") or ())
        ]
        if len(tagged) != 1:
            faults.append(f"{len(tagged)} cells carry the tag 'parameters'; the one that sets `seed` must")
        training = Training.of(notebook.cells[tagged[0]].metadata.get(METADATA, {}), faults) if tagged else Training()
        if not any(cell.kind == "stub" for cell in cells):
            faults.append("there is no stub: no code cell is marked as a solution")
        if faults:
            raise ExerciseError(f"{directory / (name + '.ipynb')} is no exercise: " + "; ".join(faults) + ".")
        return cls(name, directory, cells, tuple(checks), tagged[0], training)

    @cached_property
    def stubs(self) -> tuple[str, ...]:
        """Names of the stubs, in order; that of a gradient is called as the gradient is."""
        return tuple(cell.name for cell in self.cells if cell.kind == "stub")

    @cached_property
    def answers(self) -> dict[str, tuple[str, ...]]:
        """For each stub the names that it answers, gradients and values, in order."""
        return {stub: tuple(one.gradient for one in self.checks if one.stub == stub) for stub in self.stubs}

    @cached_property
    def tensors(self) -> dict[str, str]:
        """The tensor of each gradient: ``dprobs`` is the gradient of ``probs``."""
        gradients = [check.gradient for check in self.checks if not check.is_value]
        return {gradient: gradient.removeprefix("d") for gradient in gradients}

    @cached_property
    def values(self) -> tuple[Check, ...]:
        """The checks whose answer is no gradient, in order."""
        return tuple(check for check in self.checks if check.is_value)

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
        """The check of an answer."""
        return next(check for check in self.checks if check.gradient == gradient)

    def setup_names(self) -> tuple[str, ...]:
        """grade_ids of the locked cells before the first stub, in order."""
        return tuple(cell.name for cell in self.cells[: self.first_stub] if cell.kind == "locked")

    def solution(self) -> tuple[tuple[str, str], ...]:
        """Names and sources of the stubs, and of the locked cells among them, up to the last that a value needs."""
        last = max((self._index_of(check.stub) for check in self.values), default=-1)
        later = self.cells[self.first_stub : last + 1]
        return tuple((cell.name, cell.source) for cell in later if cell.kind in ("stub", "locked"))

    def _index_of(self, name: str) -> int:
        return next(index for index, cell in enumerate(self.cells) if cell.name == name)

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
    def asks(self) -> str:
        """SHA-256 over the names, kinds and sources of all cells: what the answers depend on, and no points."""
        content: list[Any] = [[cell.kind, cell.name, cell.source] for cell in self.cells]
        if self.training != Training():
            content.append([list(map(dict, self.training.hidden)), self.training.seconds])
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the same and the points: another exercise has another digest."""
        content = [self.asks, [[check.id, check.points] for check in self.checks]]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _checks(cells: Sequence[Cell], points: Sequence[Any], faults: list[str]) -> list[Check]:
    """The checks among ``cells``, with their ``points`` and stubs; what is wrong with them is added to ``faults``."""
    stubs = [cell.name for cell in cells if cell.kind == "stub"]
    compared = [cell.name for cell in cells if cell.kind == "check" and _COMPARES.search(cell.source)]
    checks, above = [], ""
    for cell, worth in zip(cells, points, strict=True):
        if cell.kind == "stub":
            # the stub of a gradient answers nothing else: a check beside its own one has a name that is misspelt
            above = "" if f"check_{cell.name}" in compared else cell.name
        if cell.kind != "check":
            continue
        answer = cell.name.removeprefix("check_")
        is_shared = cell.name.startswith("check_") and cell.name not in compared
        stub = answer if answer in stubs else above if is_shared else ""
        if not stub:
            faults.append(
                f"check {cell.name!r} has no stub: a check is called check_ and the grade_id of its stub, or the name "
                f"of a value that the last stub above it makes.{closest(answer, stubs)}"
            )
        if not isinstance(worth, (int, float)) or worth < 0:
            faults.append(f"check {cell.name!r} has points {worth!r}")
        else:
            checks.append(Check(cell.name, answer, float(worth), cell.source, stub))
    faults += _unasked(stubs, checks)
    return checks


def _unasked(stubs: Sequence[str], checks: Sequence[Check]) -> list[str]:
    """What is wrong with stubs that no check asks about; a later one that makes values may use what they make."""
    answered = {check.stub for check in checks}
    last = max((stubs.index(check.stub) for check in checks if check.is_value and check.stub), default=0)
    return [
        f"stub {stub!r} has no check: add a graded cell check_{stub} after it"
        for index, stub in enumerate(stubs)
        if stub not in answered and index >= last
    ]
