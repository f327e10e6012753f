"""A case: a known mistake, an unusual right style or an attack, as a file with the grades that it must get.

``NAME.toml`` holds the facts and the cells::

    about = "One sentence: what this student did."
    assignment = "backprop"
    start = "solution"         # or "release": what the stubs hold that have no cell here
    score = 25.0
    student = "s04"            # optional: the name of this submission in the sample class
    report = "graded"          # optional: the outcome of the whole report

    [outcomes]                 # gradients whose outcome differs from the rest; the rest is "passed" if
    dcounts = "failed"         # start is "solution", and "missing" if it is "release"

    [diagnoses]                # optional: the mistake (a slug) that must be found for a gradient
    dcounts = "missing-branch"

    [cells]                    # sources of code cells, by their places
    dcounts = '''
    dcounts = counts_sum_inv * dprobs
    '''

    [texts]                    # the same for text cells
    after-dcounts = "One branch is enough."

The places:

``dcounts``
    The stub with the grade_id ``dcounts``; code only.
``first``, ``last``
    A cell of the student's own at the very start or the very end.
``before-forward``, ``after-dprobs``
    A cell of the student's own before or after the cell with that grade_id. A text comes before the code of the
    same place.

The newlines at the end of a source are dropped. A notebook that is handed in byte for byte is a folder instead:
``NAME/case.toml`` with the facts, and ``NAME/notebook.ipynb`` or ``NAME/notebook.bin``. Files whose names begin with a
dot are ignored.
"""

import copy
import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, get_args

import nbformat
from nbformat import NotebookNode

from handgrad.errors import CourseError, closest
from handgrad.exercise.exercise import Exercise, grade_id, kind_of
from handgrad.exercise.solution_marks import without_marks
from handgrad.report.records import Outcome, ReportOutcome

__all__ = ["MISTAKES", "Case", "known_mistakes", "read_cases"]

Start = Literal["solution", "release"]

MISTAKES = "tests/cases/mistakes"
"""Folder of a course's known mistakes, from its root."""
FACTS = "case.toml"
RAW = ("notebook.ipynb", "notebook.bin")
_REQUIRED = ("about", "assignment", "start", "score")
_TABLES = ("outcomes", "diagnoses", "cells", "texts")
_KEYS = (*_REQUIRED, "student", "report", *_TABLES)
_REWRITE = f"""\
write NAME.toml with the facts of {FACTS} and a table [cells] with a line dh = '''...''' for each dh.py \
(a table [texts] for .md files)"""


@dataclass(frozen=True)
class Case:
    """One case: the keys and tables of its file, which the module's docstring describes.

    ``name`` is that of its file without ``.toml``, or of its folder. ``raw`` is the file as it was handed in; None if
    it is built from ``cells``.
    """

    name: str
    about: str
    assignment: str
    start: Start
    score: float
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    diagnoses: Mapping[str, str] = field(default_factory=dict)
    report: ReportOutcome = "graded"
    student: str = ""
    cells: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = field(default=None, repr=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the case in the file ``path`` or, with a notebook that is handed in whole, in the folder ``path``.

        Raises
        ------
        CourseError
            ``path`` is not a case; every fault that was found is listed.
        """
        whole = path.is_dir()
        facts = _facts(path / FACTS if whole else path)
        faults = _faults_of(facts)
        if whole:
            facts["raw"], more = _handed_in_whole(path)
            faults += more
            if lost := [name for table in ("cells", "texts") for name in _table(facts, table)]:
                faults.append(f"{_listed(lost)} would be lost: a notebook that is handed in whole takes no cells")
        if faults:
            raise _no_case(path, faults)
        for table in ("cells", "texts"):
            facts[table] = {place: source.rstrip("\n") for place, source in facts.get(table, {}).items()}
        facts["score"] = float(facts["score"])
        return cls(name=path.name if whole else path.stem, **facts)

    def unknown_names(self, exercise: Exercise) -> list[str]:
        """What the case names that ``exercise`` does not have, one phrase each."""
        if self.assignment != exercise.name:
            return [f"it is a case of {self.assignment!r}, not of {exercise.name!r}"]
        answers = [check.gradient for check in exercise.checks]
        faults = self._unknown_places(exercise.stubs, [cell.name for cell in exercise.cells if cell.name])
        for table, named in (("outcomes", self.outcomes), ("diagnoses", self.diagnoses)):
            faults += [
                f"[{table}] names {name!r}, which is not an answer of {exercise.name}.{closest(name, answers)}"
                for name in named
                if name not in answers
            ]
        return faults

    def _unknown_places(self, stubs: Iterable[str], names: Iterable[str]) -> list[str]:
        """The places of cells that do not exist, one phrase each; ``names`` are the grade_ids of all cells."""
        extra = ["first", "last", *(f"{where}-{name}" for name in names for where in ("before", "after"))]
        return [
            f"[{table}] {place} is not the place of a cell.{closest(place, known)}"
            for table, places, known in (("cells", self.cells, [*stubs, *extra]), ("texts", self.texts, extra))
            for place in places
            if place not in known
        ]

    def expected(self, exercise: Exercise) -> dict[str, str]:
        """The outcome that every answer to ``exercise`` must get; empty if the report is not to be graded.

        Raises
        ------
        CourseError
            The case names a gradient or a cell that ``exercise`` does not have.
        """
        if faults := self.unknown_names(exercise):
            raise _no_case(Path(self.name), faults)
        if self.report != "graded":
            return {}
        rest = "passed" if self.start == "solution" else "missing"
        return {check.gradient: self.outcomes.get(check.gradient, rest) for check in exercise.checks}

    def notebook(self, release: NotebookNode, solution: NotebookNode) -> NotebookNode:
        """The notebook that this student hands in: a copy of the released one, filled in.

        The stubs of the worked solution are taken if ``start`` is "solution".

        Raises
        ------
        CourseError
            The case names a cell that ``release`` does not have, ``solution`` lacks a stub, or the file that is handed
            in is not a notebook (see :meth:`content`).
        """
        if self.raw is not None:
            return self._handed_in(self.raw)
        notebook = copy.deepcopy(release)
        solved = {grade_id(cell): without_marks(cell.source) for cell in solution.cells if kind_of(cell) == "stub"}
        stubs = {grade_id(cell): cell for cell in notebook.cells if kind_of(cell) == "stub"}
        faults = self._unknown_places(stubs, [grade_id(cell) for cell in notebook.cells if grade_id(cell)])
        if self.start == "solution":
            faults += [f"the worked solution has no stub {name!r}" for name in stubs if name not in solved]
        if faults:
            raise _no_case(Path(self.name), faults)
        for name, cell in stubs.items():
            cell.source = self.cells.get(name, solved[name] if self.start == "solution" else cell.source)
        notebook.cells = self._with_extra_cells(notebook.cells)
        return notebook

    def content(self, release: NotebookNode, solution: NotebookNode) -> bytes:
        """The bytes of the file that this student hands in; see :meth:`notebook`."""
        if self.raw is not None:
            return self.raw
        text: str = nbformat.writes(self.notebook(release, solution))
        return f"{text.rstrip()}\n".encode()

    def _handed_in(self, raw: bytes) -> NotebookNode:
        try:
            return nbformat.reads(raw.decode("utf-8-sig"), as_version=4)
        except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
            raise CourseError(
                f"the file of the case {self.name} is not a notebook, on purpose: write its content to a file instead."
            ) from error

    def _with_extra_cells(self, cells: Sequence[NotebookNode]) -> list[NotebookNode]:
        """``cells`` with the student's own ones in their places."""
        taken = {cell.get("id") for cell in cells}

        def new_id(place: str) -> str:
            # not nbformat's random id: a notebook that is built twice has to be the same
            name, number = place[:60], 1
            while name in taken:
                number += 1
                name = f"{place[:60]}-{number}"
            taken.add(name)
            return name

        def extra(place: str) -> list[NotebookNode]:
            kinds = ((self.texts, nbformat.v4.new_markdown_cell), (self.cells, nbformat.v4.new_code_cell))
            return [make(sources[place], id=new_id(place)) for sources, make in kinds if place in sources]

        around = [
            new
            for cell in cells
            for new in (*extra(f"before-{grade_id(cell)}"), cell, *extra(f"after-{grade_id(cell)}"))
        ]
        return [*extra("first"), *around, *extra("last")]


def read_cases(folder: Path, exercise: Exercise | None = None) -> list[Case]:
    """The cases in ``folder``, by name: its files ``*.toml`` and its folders; other files are ignored.

    With an ``exercise``, only its own cases, their names checked against it (default: all cases, not checked).

    Raises
    ------
    CourseError
        ``folder`` does not exist, or something in it is not a case; the faults of all cases are listed.
    """
    if not folder.is_dir():
        raise CourseError(f"there are no cases at {folder}: no such folder.")
    cases: list[Case] = []
    complaints: list[str] = []
    for path in sorted(folder.iterdir(), key=lambda path: path.stem if path.is_file() else path.name):
        if path.name.startswith((".", "__")) or not (path.is_dir() or path.suffix == ".toml"):
            continue
        try:
            case = Case.read(path)
            if exercise is None or case.assignment == exercise.name:
                if exercise and (faults := case.unknown_names(exercise)):
                    raise _no_case(path, faults)
                cases.append(case)
        except CourseError as error:
            complaints.append(str(error))
    students = [case.student for case in cases if case.student]
    for student in sorted({student for student in students if students.count(student) > 1}):
        names = _listed(case.name for case in cases if case.student == student)
        complaints.append(f"{names} in {folder} are all called {student!r}: a student hands in one notebook.")
    for name in sorted({case.name for case in cases if (folder / case.name).is_dir()}):
        if (folder / f"{name}.toml").is_file():
            complaints.append(f"{folder / name} is both a file and a folder: a case is one of them.")
    if complaints:
        raise CourseError("\n".join(complaints))
    return cases


def known_mistakes(root: Path, exercise: Exercise | None = None) -> list[Case]:
    """The known mistakes of the course at ``root``; empty if it has no folder ``tests/cases/mistakes``.

    Raises
    ------
    CourseError
        As for :func:`read_cases`; or the course keeps its mistakes in the former place, ``tests/mistakes``.
    """
    folder, former = root / MISTAKES, root / "tests" / "mistakes"
    if folder.is_dir():
        return read_cases(folder, exercise)
    if former.is_dir():
        raise CourseError(
            f"{former} is not read any more: a case is a file in {MISTAKES} now. For each folder NAME, {_REWRITE}."
        )
    return []


def _facts(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CourseError(f"{path} is missing: a case is described there.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CourseError(f"{path} cannot be read ({error}): fix it.") from error


def _handed_in_whole(folder: Path) -> tuple[bytes | None, list[str]]:
    """The file in ``folder`` that is handed in byte for byte, and what is wrong with the folder."""
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith(".") and path.name != FACTS)
    raw = [name for name in names if name in RAW]
    former = [name for name in names if Path(name).suffix in (".py", ".md")]
    faults = [
        f"{name} has no meaning here: the file that is handed in is called {' or '.join(RAW)}"
        for name in names
        if name not in raw and name not in former
    ]
    if former:
        faults.append(f"{_listed(former)}: a cell is not a file any more: instead of this folder, {_REWRITE}")
    elif not raw:
        faults.append(f"{' or '.join(RAW)} is missing: a case without one is a file {folder.name}.toml")
    if len(raw) > 1:
        faults.append(f"{_listed(raw)} both exist: a student hands in one file")
    return (folder / raw[0]).read_bytes() if raw else None, faults


def _table(facts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A table of a case; empty if it is missing or not a table."""
    table = facts.get(name)
    return table if isinstance(table, dict) else {}


def _faults_of(facts: Mapping[str, Any]) -> list[str]:
    """What is wrong with the facts of a case, one phrase each."""
    faults = [f"key {key!r} is unknown.{closest(key, _KEYS)}" for key in facts if key not in _KEYS]
    faults += [f"{key!r} is missing" for key in _REQUIRED if key not in facts]
    for key in ("about", "assignment", "student"):
        if key in facts and (not isinstance(facts[key], str) or not facts[key].strip()):
            faults.append(f"{key} = {facts[key]!r} is not a text")
    faults += _not_one_of("start", facts.get("start", "solution"), get_args(Start))
    faults += _not_one_of("report", facts.get("report", "graded"), get_args(ReportOutcome))
    score = facts.get("score", 0)
    if isinstance(score, bool) or not isinstance(score, (int, float)) or not math.isfinite(score) or score < 0:
        faults.append(f"score = {score!r} is not a number of points")
    for table in _TABLES:
        if not isinstance(facts.get(table, {}), dict):
            faults.append(f"{table} = {facts[table]!r} is not a table [{table}]")
        for name, value in _table(facts, table).items():
            if table == "outcomes":
                faults += _not_one_of(f"[outcomes] {name}", value, get_args(Outcome))
            elif not isinstance(value, str) or not (value or table != "diagnoses"):
                kind = "the name of a mistake" if table == "diagnoses" else "a text"
                faults.append(f"[{table}] {name} = {value!r} is not {kind}")
    if facts.get("report", "graded") != "graded" and (facts.get("outcomes") or facts.get("diagnoses")):
        faults.append("a report that is not to be graded has no outcomes and no diagnoses")
    return faults


def _not_one_of(key: str, value: Any, known: Sequence[str]) -> list[str]:
    if value in known:
        return []
    suggestion = closest(value, known) if isinstance(value, str) else ""
    return [f"{key} = {value!r} is not one of {', '.join(known)}.{suggestion}"]


def _no_case(folder: Path, faults: Iterable[str]) -> CourseError:
    text = "; ".join(fault.rstrip(".") for fault in faults)
    return CourseError(f"{folder} cannot be used as a case: {text}{'' if text.endswith('?') else '.'}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
