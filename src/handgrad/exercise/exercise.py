"""Exercise: what an instructor's notebook asks for, read from the notebook alone."""

import ast
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from nbformat import NotebookNode

from handgrad.errors import ExerciseError, OrdinaryAssignmentError, closest
from handgrad.exercise.solution_marks import HIDDEN_TESTS
from handgrad.notebook import tidying
from handgrad.notebook.syntax import ParsedCell, code_of, gradients_taken
from handgrad.report.parts import headings

__all__ = ["Cell", "Check", "Exercise", "answer_cell", "calling", "grade_id", "is_exercise", "kind_of"]

Kind = Literal["text", "locked", "stub", "check", "free"]
PARAMETERS_TAG = "parameters"
_IMPORTS = re.compile(r"^\s*(from|import) handgrad\b", re.MULTILINE)
METADATA = "handgrad"
"""The key of :class:`Training` in the metadata of the parameters cell."""
_COMPARES = re.compile(r"\bcmp\s*\(")
_ONLY_COMPARES = re.compile(r"cmp\((['\"])\w+\1, *\w+, *\w+\)")


@dataclass(frozen=True)
class Cell:
    """One cell: its kind, its nbgrader grade_id (may be empty), its source."""

    kind: Kind
    name: str
    source: str


@dataclass(frozen=True)
class Check:
    """A graded cell, with its maximum points.

    Its grade_id, ``id``, is ``check_`` and the name of the answer: of a ``gradient``, or another value. The ``source``
    has its hidden tests. The ``stub`` that answers it is the one with the answer's name, else the last one above.

    If it compares what a function of the stub returns, ``call`` is that expression, ``scale_backward(dy, x)[0]``, and
    the answer's name stands in its place in the source.
    """

    id: str
    gradient: str
    points: float
    source: str
    stub: str = ""
    call: str = ""

    @property
    def is_value(self) -> bool:
        """Whether the answer is not a gradient: the check does not compare it with autograd's."""
        return not _COMPARES.search(self.source)

    @property
    def only_compares(self) -> bool:
        """Whether it is one call of ``cmp`` and nothing else: there is no further condition."""
        return bool(_ONLY_COMPARES.fullmatch(self.source.strip()))

    @property
    def is_whole(self) -> bool:
        """Whether it has the name of its stub, and so may be about all values of the stub."""
        return self.gradient == self.stub

    @property
    def has_hidden_tests(self) -> bool:
        """Whether a part of the check is hidden from students."""
        return bool(HIDDEN_TESTS.search(self.source))


def grade_id(cell: NotebookNode) -> str:
    """The cell's nbgrader id; empty if it has none."""
    metadata = cell.metadata.get("nbgrader")
    name = metadata.get("grade_id", "") if isinstance(metadata, Mapping) else ""
    return name if isinstance(name, str) else ""


def kind_of(cell: NotebookNode) -> Kind:
    """The kind of the cell, by its nbgrader metadata."""
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
    """Whether ``notebook`` is meant to be a handgrad exercise: it has a parameters cell and imports handgrad."""
    return bool(_tagged(notebook)) and _imports_handgrad(notebook)


def _tagged(notebook: NotebookNode) -> list[int]:
    """The indices of the cells with the tag ``parameters``."""
    return [index for index, cell in enumerate(notebook.cells) if PARAMETERS_TAG in (cell.metadata.get("tags") or ())]


def _imports_handgrad(notebook: NotebookNode) -> bool:
    return any(cell.cell_type == "code" and _IMPORTS.search(cell.source) for cell in notebook.cells)


@dataclass(frozen=True)
class Training:
    """What hidden passes set, in the parameters cell's metadata under the key ``handgrad``.

    ``hidden`` are parameters besides the seed, such as ``{"steps": 10}``: smallest first, one round each. ``sizes`` are
    other sizes, such as ``{"stride": 1}``: for each of them there is one more round. ``seconds`` is the time for one
    cell in the visible pass (default: as in the other passes).
    """

    hidden: tuple[Mapping[str, Any], ...] = ({},)
    seconds: float | None = None
    sizes: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def of(cls, metadata: Any, faults: list[str]) -> Self:
        """The settings in ``metadata``; errors in them are added to ``faults``."""
        known = ("hidden", "seconds", "sizes")
        if not isinstance(metadata, Mapping) or not set(known).issuperset(metadata):
            faults.append(f"the metadata {METADATA!r} of the parameters cell may only have the keys {', '.join(known)}")
            return cls()
        hidden, seconds, sizes = metadata.get("hidden", {}), metadata.get("seconds"), metadata.get("sizes", [])
        hidden = [hidden] if isinstance(hidden, Mapping) else hidden
        if not (isinstance(hidden, list) and hidden and all(isinstance(parameters, Mapping) for parameters in hidden)):
            faults.append(f"{METADATA}.hidden of the parameters cell is not an object or a list of objects")
            hidden = [{}]
        if seconds is not None and (type(seconds) not in (int, float) or seconds <= 0):
            faults.append(f"{METADATA}.seconds of the parameters cell is {seconds!r}, not a number of seconds")
            seconds = None
        if not (isinstance(sizes, list) and all(isinstance(parameters, Mapping) for parameters in sizes)):
            faults.append(f"{METADATA}.sizes of the parameters cell is not a list of objects")
            sizes = []
        return cls(tuple(map(dict, hidden)), seconds, tuple(map(dict, sizes)))

    @property
    def content(self) -> list[Any]:
        """All of it as plain data."""
        more = [list(map(dict, self.sizes))] if self.sizes else []
        return [list(map(dict, self.hidden)), self.seconds, *more]


@dataclass(frozen=True)
class Recorded:
    """Values computed by the worked solution for one parameter set; part of a release, which has no solution."""

    parameters: Mapping[str, Any]
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Exercise:
    """One instructor notebook, parsed: its ``name`` is also that of the assignment.

    Its cells find their files in the folder ``directory``. ``cells`` and ``checks`` are in order, and
    ``parameters_cell`` is the index of the cell with the tag ``parameters``. Only a release has values ``recorded``.
    The cells of an exercise that was ``released_in`` a file, which may be a student's, run in the sandbox only.
    """

    name: str
    directory: Path
    cells: tuple[Cell, ...]
    checks: tuple[Check, ...]
    parameters_cell: int
    training: Training = Training()
    recorded: tuple[Recorded, ...] = ()
    released_in: Path | None = None

    @property
    def is_trusted(self) -> bool:
        """Whether its cells may run outside the sandbox."""
        return self.released_in is None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the exercise in the notebook at ``path`` (the instructor's, or its released copy).

        Raises
        ------
        ExerciseError
            The file does not exist, is not a notebook, or is not an exercise; the message lists all faults. It is an
            :class:`OrdinaryAssignmentError` if nothing in the notebook is handgrad's.
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
        """The exercise in ``notebook``; raises :class:`ExerciseError` with all faults."""
        path = directory / f"{name}.ipynb"
        cells = tuple(Cell(kind_of(cell), grade_id(cell), cell.source) for cell in notebook.cells)
        compares = any(cell.kind == "check" and _COMPARES.search(cell.source) for cell in cells)
        tagged = _tagged(notebook)
        if not (compares or tagged or _imports_handgrad(notebook)):
            raise OrdinaryAssignmentError(
                f"{path} is not an exercise of handgrad: no cell has the tag {PARAMETERS_TAG!r}, imports handgrad or "
                "calls cmp. An ordinary assignment is left to nbgrader's own commands."
            )
        names = [cell.name for cell in cells if cell.name]
        faults = [f"grade_id {name!r} is used more than once" for name in sorted({*names}) if names.count(name) > 1]
        points = [
            cell.metadata["nbgrader"].get("points", 0) if kind_of(cell) == "check" else 0 for cell in notebook.cells
        ]
        checks = _checks(cells, points, faults)
        if len(tagged) != 1:
            faults.append(f"{len(tagged)} cells have the tag 'parameters'; only the cell that sets `seed` must have it")
        training = Training.of(notebook.cells[tagged[0]].metadata.get(METADATA, {}), faults) if tagged else Training()
        if not any(cell.kind == "stub" for cell in cells):
            faults.append("there is no stub: no code cell is marked as a solution")
        if faults:
            raise ExerciseError(f"{path} is not an exercise: " + "; ".join(faults) + ".")
        return cls(name, directory, cells, tuple(checks), tagged[0], training)

    @cached_property
    def stubs(self) -> tuple[str, ...]:
        """Names of the stubs, in order; the stub of a gradient has the gradient's name."""
        return tuple(cell.name for cell in self.cells if cell.kind == "stub")

    @cached_property
    def answers(self) -> dict[str, tuple[str, ...]]:
        """For each stub the names that it answers, gradients and values, in order."""
        return {stub: tuple(check.gradient for check in self.checks if check.stub == stub) for stub in self.stubs}

    @cached_property
    def tensors(self) -> dict[str, str]:
        """The tensor of each gradient: ``dprobs`` is the gradient of ``probs``."""
        gradients = [check.gradient for check in self.checks if not check.is_value]
        return {gradient: gradient.removeprefix("d") for gradient in gradients}

    @cached_property
    def parts(self) -> dict[str, str]:
        """The part of each answer, the heading above it; empty if there are not two parts."""
        found = headings((cell.kind == "text", cell.name, cell.source) for cell in self.cells)
        parts = {check.gradient: found[check.id if check.call else check.stub] for check in self.checks}
        return parts if len({*parts.values()}) > 1 else {}

    @cached_property
    def values(self) -> tuple[Check, ...]:
        """The checks whose answer is not a gradient, in order."""
        return tuple(check for check in self.checks if check.is_value)

    @cached_property
    def given_gradients(self) -> dict[str, str]:
        """The gradients without a stub that a locked cell takes from autograd, each with its tensor."""
        taken = gradients_taken(cell.source for cell in self.cells if cell.kind == "locked")
        return {gradient: tensor for gradient, tensor in taken.items() if gradient not in {*self.stubs, *self.tensors}}

    @cached_property
    def tensor_of(self) -> dict[str, str]:
        """The named tensor of each gradient, with a stub or given."""
        return {**self.tensors, **self.given_gradients}

    @cached_property
    def first_stub(self) -> int:
        """Index of the first stub's cell."""
        return next(index for index, cell in enumerate(self.cells) if cell.kind == "stub")

    @cached_property
    def literals(self) -> dict[str, Any]:
        """The literals that the parameters cell assigns, by name."""
        found: dict[str, Any] = {}
        parsed = ParsedCell.of(self.cells[self.parameters_cell].source)
        for step in parsed.steps if parsed else ():
            match step.node:
                case (
                    ast.Assign(targets=[ast.Name() as target], value=value)
                    | ast.AnnAssign(target=ast.Name() as target, value=ast.expr() as value)
                ):
                    pairs: list[tuple[ast.expr, ast.expr]] = [(target, value)]
                case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                    pairs = list(zip(targets, values, strict=False))
                case _:
                    continue
            for name, literal in pairs:
                with suppress(ValueError):
                    found[ast.unparse(name)] = ast.literal_eval(literal)
        return found

    @cached_property
    def sizes(self) -> dict[str, int]:
        """The integers among them, without the seed."""
        return {name: value for name, value in self.literals.items() if type(value) is int and name != "seed"}

    def equal_sizes(self) -> list[str]:
        """Names of sizes that are the same number, ``rows and width``: a check cannot see one taken for the other."""
        names = {
            number: [name for name, size in self.sizes.items() if size == number] for number in self.sizes.values()
        }
        return [f"{', '.join(alike[:-1])} and {alike[-1]}" for number, alike in names.items() if len(alike) > 1]

    def check_of(self, gradient: str) -> Check:
        """The check of an answer."""
        return next(check for check in self.checks if check.gradient == gradient)

    def calls_of(self, stub: str) -> tuple[Check, ...]:
        """The checks that compare what a function of a stub returns."""
        return tuple(check for check in self.checks if check.stub == stub and check.call)

    def answer_cells(self, solutions: Mapping[str, str]) -> dict[str, str]:
        """For each stub, or each check with a call of its function, the code that makes the answer, in order."""
        cells: dict[str, str] = {}
        checks = {check.id: check for check in self.checks if check.call}
        for cell in self.cells:
            if cell.kind == "stub" and not self.calls_of(cell.name):
                cells[cell.name] = solutions[cell.name]
            elif check := checks.get(cell.name):
                cells[check.gradient] = answer_cell(solutions[check.stub], check)
        return cells

    def setup_names(self) -> tuple[str, ...]:
        """grade_ids of the locked cells before the first stub, in order."""
        return tuple(cell.name for cell in self.cells[: self.first_stub] if cell.kind == "locked")

    def solution(self) -> tuple[tuple[str, str], ...]:
        """Names and sources of the stubs, and of the locked cells among them, up to the last stub of a value."""
        names = [cell.name for cell in self.cells]
        last = max((names.index(check.stub) for check in self.values), default=-1)
        later = self.cells[self.first_stub : last + 1]
        return tuple((cell.name, cell.source) for cell in later if cell.kind in ("stub", "locked"))

    def setup(self, parameters: Mapping[str, Any]) -> tuple[str, ...]:
        """Sources of the locked cells before the first stub, with ``parameters`` set after the parameters cell."""
        sources: list[str] = []
        for index, cell in enumerate(self.cells[: self.first_stub]):
            if cell.kind == "locked":
                sources.append(cell.source)
            if index == self.parameters_cell and parameters:
                sources.append("\n".join(f"{name} = {value!r}" for name, value in parameters.items()))
        return tuple(sources)

    @cached_property
    def content_digest(self) -> str:
        """SHA-256 over the names, kinds and sources of all cells: what the answers depend on, and no points."""
        content: list[Any] = [[cell.kind, cell.name, cell.source] for cell in self.cells]
        if self.training != Training():
            content.append(self.training.content)
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    @cached_property
    def graded_digest(self) -> str:
        """SHA-256 over what decides verdicts: the code of the cells, without comments, texts and points."""
        content = [[cell.kind, cell.name, _code(cell.source)] for cell in self.cells if cell.kind != "text"]
        return hashlib.sha256(json.dumps([content, self.training.content]).encode()).hexdigest()

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all cells and the points: another exercise has another digest."""
        content = [self.content_digest, [[check.id, check.points] for check in self.checks]]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _code(source: str) -> str:
    """The code of a cell without comments and layout; as it is, if it is not plain Python or has marks."""
    # nbgrader's marks are comments
    if HIDDEN_TESTS.search(source):
        return source
    try:
        return code_of(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return source


def _checks(cells: Sequence[Cell], points: Sequence[Any], faults: list[str]) -> list[Check]:
    """The checks among ``cells``, with their ``points`` and stubs; errors in them are added to ``faults``."""
    stubs = [cell.name for cell in cells if cell.kind == "stub"]
    compared = [cell.name for cell in cells if cell.kind == "check" and _COMPARES.search(cell.source)]
    checks, above = [], ""
    for cell, worth in zip(cells, points, strict=True):
        if cell.kind == "stub":
            # the stub of a gradient answers nothing else: another check after it has a misspelt name
            above = "" if f"check_{cell.name}" in compared else cell.name
        if cell.kind != "check":
            continue
        answer = cell.name.removeprefix("check_")
        is_shared = cell.name.startswith("check_") and cell.name not in compared
        stub = answer if answer in stubs else above if is_shared else ""
        call, source = _call_in(cell.source, answer, stubs)
        if call:
            stub = next(name for name in stubs if name == _called(ast.parse(call, mode="eval").body))
        if not stub:
            faults.append(
                f"check {cell.name!r} has no stub: name it check_ and the grade_id of its stub, or check_ and a value "
                f"that the last stub above it assigns.{closest(answer, stubs)}"
            )
        if not isinstance(worth, (int, float)) or worth < 0:
            faults.append(f"check {cell.name!r} has points {worth!r}, not a number of at least 0")
        else:
            checks.append(Check(cell.name, answer, float(worth), source, stub, call))
    faults += _unasked(stubs, checks)
    return checks


def answer_cell(source: str, check: Check) -> str:
    """The code that makes the answer of a check: the ``source`` of its stub and, for a function, the call."""
    return f"{source}\n{calling(check)}" if check.call else source


def calling(check: Check) -> str:
    """The statements that make the answer of a check with a call; it is None if the function, or its value, is none."""
    *rest, call = _around(ast.parse(check.call, mode="eval").body)
    name, function = check.gradient, _called(call)
    values = [ast.unparse(call)]
    for node in reversed(rest):
        node.value = ast.Name(name, ast.Load())
        values.append(f"None if {name} is None else {ast.unparse(node)}")
    lines = "\n    ".join(f"{name} = {value}" for value in values)
    return f"{name} = None\nif callable(globals().get({function!r})):\n    {lines}"


def _around(node: ast.expr) -> Iterator[Any]:
    """An expression, and what its subscripts and attributes are read from, the innermost last."""
    yield node
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
        yield node


def _called(node: ast.expr) -> str:
    """The name of the function in ``scale_backward(dy, x)[0]``; empty if it is no such expression."""
    *_, inner = _around(node)
    return inner.func.id if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) else ""


def _call_in(source: str, answer: str, stubs: Sequence[str]) -> tuple[str, str]:
    """The call of a function of a stub that a check compares as ``answer``, and the check with the name in its place.

    Without one, an empty text and the check as it is.
    """
    parsed = ParsedCell.of(source)
    for step in parsed.steps if parsed else ():
        match step.node:
            case ast.Expr(value=ast.Call(func=ast.Name(id="cmp"), args=[ast.Constant(value=str(name)), value, *_])):
                if f"d{name}" == answer and _called(value) in stubs:
                    call = ast.get_source_segment(source, value) or ""
                    return call, source.replace(call, answer)
    return "", source


def _unasked(stubs: Sequence[str], checks: Sequence[Check]) -> list[str]:
    """Faults of stubs without a check; a stub before the last one that assigns values needs none."""
    answered = {check.stub for check in checks}
    last = max((stubs.index(check.stub) for check in checks if check.is_value and check.stub), default=0)
    return [
        f"stub {stub!r} has no check: add a graded cell check_{stub} after it"
        for index, stub in enumerate(stubs)
        if stub not in answered and index >= last
    ]
