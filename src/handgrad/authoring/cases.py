"""A case: a known mistake, an unusual right style or an attack, as a folder that says how it must be graded.

``case.toml`` holds the facts::

    about = "One sentence: what this student did."
    assignment = "backprop"
    start = "solution"         # or "release": what the stubs hold that have no file here
    score = 25.0
    student = "s04"            # optional: the name of this submission in the sample class
    report = "graded"          # optional: the outcome of the whole report

    [outcomes]                 # gradients whose outcome differs from the rest; the rest is "passed" where
    dcounts = "failed"         # start is "solution", and "missing" where it is "release"

    [diagnoses]                # optional: the mistake (a slug) that must be found, where one is named
    dcounts = "missing-branch"

Every other file is a cell, and its name says where it stands:

``dcounts.py``
    The source of a stub, here the one with the grade_id ``dcounts``.
``first.py``, ``last.py``
    A cell of the student's own at the very start or the very end.
``before-forward.py``, ``after-dprobs.py``
    A cell of the student's own before or after the cell with that grade_id.
``first.md``, ``last.md``, ``before-forward.md``, ``after-dprobs.md``
    The same as text; it stands before the code of the same place.
``notebook.ipynb`` or ``notebook.bin``
    The file as it was handed in, byte for byte, in place of all of these.

Files whose names begin with a dot are ignored.
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

__all__ = ["Case", "read_cases"]

Start = Literal["solution", "release"]

FACTS = "case.toml"
RAW = ("notebook.ipynb", "notebook.bin")
_KEYS = ("about", "assignment", "start", "score", "student", "report", "outcomes", "diagnoses")


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes
    ----------
    name
        Name of its folder.
    about
        One sentence: what this student did.
    assignment
        The exercise that it belongs to.
    start
        What the stubs hold that have no entry in ``cells``.
    score
        Points that it must get.
    outcomes
        The outcome of each gradient that differs from the rest.
    diagnoses
        The mistake that must be found, for each gradient where one is named.
    report
        Outcome of the whole report.
    student
        Name in the sample class; empty where it is not part of it.
    cells
        Sources by the place that the file's name gives: ``dcounts``, ``first``, ``before-forward``.
    texts
        Sources of text cells, in the same way.
    raw
        The file as it was handed in; None where it is built from ``cells``.
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
    def read(cls, folder: Path, exercise: Exercise | None = None) -> Self:
        """Read the case in ``folder``; where ``exercise`` is given, its names are checked as well.

        Raises
        ------
        CourseError
            The folder is no case; every fault that was found is listed.
        """
        facts = _facts(folder)
        cells, texts, raw, faults = _files(folder)
        faults = [*_faults_of(facts), *faults]
        if raw is not None and (cells or texts):
            lost = _listed([*cells, *texts])
            faults.append(f"{lost} would be lost: a notebook that is handed in whole takes no cells")
        if not faults:
            facts["score"] = float(facts["score"])
            case = cls(name=folder.name, cells=cells, texts=texts, raw=raw, **facts)
            faults = case.unknown_names(exercise) if exercise else []
        if faults:
            raise _no_case(folder, faults)
        return case

    def unknown_names(self, exercise: Exercise) -> list[str]:
        """What the case names and ``exercise`` does not have, one phrase each."""
        if self.assignment != exercise.name:
            return [f"it is a case of {self.assignment!r}, not of {exercise.name!r}"]
        names = [cell.name for cell in exercise.cells if cell.name]
        answers = [check.gradient for check in exercise.checks]
        faults = _unknown_cells(self.cells, exercise.stubs, names) + _unknown_cells(self.texts, (), names, "md")
        for table, named in (("outcomes", self.outcomes), ("diagnoses", self.diagnoses)):
            faults += [
                f"[{table}] names {name!r}, which is no answer of {exercise.name}.{closest(name, answers)}"
                for name in named
                if name not in answers
            ]
        return faults

    def expected(self, exercise: Exercise) -> dict[str, str]:
        """The outcome that every answer to ``exercise`` must get; empty where the report is not to be graded.

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
        """The notebook that this student hands in: the released one, filled in.

        Parameters
        ----------
        release
            The exercise as students get it; it is copied, not changed.
        solution
            The worked solution, whose stubs are taken where ``start`` says so.

        Raises
        ------
        CourseError
            A file names a cell that ``release`` does not have, or ``solution`` lacks a stub; or what is handed in is
            no notebook (see :meth:`content`).
        """
        if self.raw is not None:
            return self._handed_in(self.raw)
        notebook = copy.deepcopy(release)
        solved = {grade_id(cell): without_marks(cell.source) for cell in solution.cells if kind_of(cell) == "stub"}
        stubs = {grade_id(cell): cell for cell in notebook.cells if kind_of(cell) == "stub"}
        names = [grade_id(cell) for cell in notebook.cells if grade_id(cell)]
        faults = _unknown_cells(self.cells, stubs, names) + _unknown_cells(self.texts, (), names, "md")
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
                f"what the case {self.name} hands in is no notebook, on purpose: write its content to a file instead."
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
            one
            for cell in cells
            for one in (*extra(f"before-{grade_id(cell)}"), cell, *extra(f"after-{grade_id(cell)}"))
        ]
        return [*extra("first"), *around, *extra("last")]


def read_cases(folder: Path, exercise: Exercise | None = None) -> list[Case]:
    """The cases in the folders inside ``folder``, by name; where ``exercise`` is given, those of this exercise.

    Raises
    ------
    CourseError
        ``folder`` is not there, or a folder in it is no case; the faults of all of them are listed.
    """
    if not folder.is_dir():
        raise CourseError(f"there are no cases at {folder}: no such folder.")
    cases: list[Case] = []
    complaints: list[str] = []
    for one in sorted(folder.iterdir()):
        if one.name.startswith((".", "__")) or not one.is_dir():
            continue
        try:
            case = Case.read(one)
            if exercise is None or case.assignment == exercise.name:
                cases.append(case if exercise is None else Case.read(one, exercise))
        except CourseError as error:
            complaints.append(str(error))
    students = [case.student for case in cases if case.student]
    for student in sorted({student for student in students if students.count(student) > 1}):
        names = _listed(case.name for case in cases if case.student == student)
        complaints.append(f"{names} in {folder} are all called {student!r}: a student hands in one notebook.")
    if complaints:
        raise CourseError("\n".join(complaints))
    return cases


def _facts(folder: Path) -> dict[str, Any]:
    path = folder / FACTS
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CourseError(f"{folder} is no case: it has no {FACTS}; describe the case there.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CourseError(f"{path} cannot be read ({error}): mend it.") from error


def _files(folder: Path) -> tuple[dict[str, str], dict[str, str], bytes | None, list[str]]:
    """The cells and the texts of a case by their places, the file handed in, and what is wrong with them."""
    sources: dict[str, dict[str, str]] = {".py": {}, ".md": {}}
    raw: bytes | None = None
    faults: list[str] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == FACTS:
            continue
        if path.name in RAW:
            if raw is not None:
                faults.append(f"{_listed(RAW)} are both there: a student hands in one file")
            raw = path.read_bytes()
        elif path.suffix in sources and path.is_file():
            try:
                sources[path.suffix][path.stem] = path.read_text(encoding="utf-8").rstrip("\n")
            except UnicodeDecodeError as error:
                faults.append(f"{path.name} is not UTF-8 text ({error.reason} at byte {error.start})")
        else:
            faults.append(
                f"{path.name} has no meaning here: a cell is a .py or .md file, the file handed in is {RAW[0]}"
            )
    return sources[".py"], sources[".md"], raw, faults


def _faults_of(facts: Mapping[str, Any]) -> list[str]:
    """What is wrong with the facts of a case, one phrase each."""
    faults = [f"key {key!r} is unknown.{closest(key, _KEYS)}" for key in facts if key not in _KEYS]
    faults += [f"{key!r} is missing" for key in ("about", "assignment", "start", "score") if key not in facts]
    for key in ("about", "assignment", "student"):
        if key in facts and (not isinstance(facts[key], str) or not facts[key].strip()):
            faults.append(f"{key} = {facts[key]!r} is not a text")
    faults += _not_one_of("start", facts.get("start", "solution"), get_args(Start))
    faults += _not_one_of("report", facts.get("report", "graded"), get_args(ReportOutcome))
    score = facts.get("score", 0)
    if isinstance(score, bool) or not isinstance(score, (int, float)) or not math.isfinite(score) or score < 0:
        faults.append(f"score = {score!r} is not a number of points")
    for table in ("outcomes", "diagnoses"):
        if not isinstance(facts.get(table, {}), dict):
            faults.append(f"{table} = {facts[table]!r} is not a table [{table}]")
            continue
        for name, value in facts.get(table, {}).items():
            if table == "outcomes":
                faults += _not_one_of(f"[outcomes] {name}", value, get_args(Outcome))
            elif not isinstance(value, str) or not value:
                faults.append(f"[diagnoses] {name} = {value!r} is not the name of a mistake")
    if facts.get("report", "graded") != "graded" and (facts.get("outcomes") or facts.get("diagnoses")):
        faults.append("a report that is not to be graded has no outcomes and no diagnoses")
    return faults


def _not_one_of(key: str, value: Any, known: Sequence[str]) -> list[str]:
    if value in known:
        return []
    suggestion = closest(value, known) if isinstance(value, str) else ""
    return [f"{key} = {value!r} is not one of {', '.join(known)}.{suggestion}"]


def _unknown_cells(places: Iterable[str], stubs: Iterable[str], names: Iterable[str], suffix: str = "py") -> list[str]:
    """The files that name no cell, one phrase each."""
    stubs = list(stubs)
    around = [f"{where}-{name}" for name in names for where in ("before", "after")]
    known = [*stubs, "first", "last", *around]
    return [f"{place}.{suffix} names no cell.{closest(place, known)}" for place in places if place not in known]


def _no_case(folder: Path, faults: Iterable[str]) -> CourseError:
    text = "; ".join(fault.rstrip(".") for fault in faults)
    return CourseError(f"{folder} is no case that can be used: {text}{'' if text.endswith('?') else '.'}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
