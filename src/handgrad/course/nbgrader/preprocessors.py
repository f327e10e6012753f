"""Preprocessors with which nbgrader's own commands release and grade our exercises.

A course lists them in its ``nbgrader_config.py``. Each does its work on an exercise of ours only; any other
assignment of the same course goes through nbgrader's own preprocessor, unchanged.
"""

import atexit
import copy
import functools
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from nbconvert.exporters import NotebookExporter
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde, GenerateAssignment, GenerateSolution
from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearHiddenTests,
    ClearSolutions,
    Execute,
    NbGraderPreprocessor,
    SaveAutoGrades,
)

from handgrad.course.course import Course
from handgrad.course.nbgrader.feedback_exporter import with_verdicts
from handgrad.course.nbgrader.sanitize import sanitize_comment, sanitize_notebook
from handgrad.course.report_store import STORE, ReportStore
from handgrad.errors import ExerciseError, IsolationError, SandboxError
from handgrad.exercise import release_file
from handgrad.exercise.exercise import Exercise, grade_id, is_exercise, kind_of
from handgrad.notebook.reading import read_notebook
from handgrad.report.check_output import check_outputs, comment
from handgrad.report.records import Report
from handgrad.submission.submission import Submission

if TYPE_CHECKING:
    from handgrad.grading.grader import Grader, GradingResult

__all__ = [
    "AddSelfCheck",
    "CheckOthers",
    "Grade",
    "HideTests",
    "Mend",
    "NameStubs",
    "SaveVerdicts",
    "Solve",
    "TolerantExporter",
    "autograde",
    "comments",
    "generate_assignment",
    "generate_solution",
    "sanitize",
    "show",
]

REPORT = "handgrad"
"""Where the report of a submission stands in nbgrader's ``resources``, between :class:`Grade` and the database."""


class TolerantExporter(NotebookExporter):
    """Reads an exercise as `handgrad check` does: an untidy output, a byte order mark or an id twice is no failure.

    Any other notebook is read as nbgrader does.
    """

    def from_filename(self, filename: str, resources: Any = None, **kw: Any) -> tuple[NotebookNode, Any]:
        """Convert the file, which is not opened by nbconvert before it is known to be one: a pipe is not waited for."""
        path = Path(filename)
        is_ours = _source(self, resources) is not None
        self._notebook = read_notebook(path, path.parents[1]) if is_ours else None
        return super().from_filename(filename, resources=resources, **kw)

    def from_file(self, file_stream: Any, resources: Any = None, **kw: Any) -> tuple[NotebookNode, Any]:
        """Convert the notebook that was read, tidied, before nbconvert opened its file."""
        if self._notebook is None:
            return super().from_file(file_stream, resources=resources, **kw)
        return self.from_notebook_node(self._notebook, resources=resources, **kw)


class NameStubs(ClearSolutions):
    """Clear the solutions of an exercise; ``{gradient}`` in ``c.NameStubs.code_stub`` becomes the cell's gradient.

    A cell that makes something else than a gradient begins with ``...``. Those of any other notebook are cleared by
    nbgrader's own step, with its own stub.
    """

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Clear the cells of a notebook, knowing which of its stubs are gradients."""
        if not is_exercise(nb):
            return ClearSolutions(parent=self.parent, config=self.config).preprocess(nb, resources)
        self._gradients = Exercise.of(nb, "", Path()).tensors
        return super().preprocess(nb, resources)

    def preprocess_cell(self, cell: NotebookNode, resources: Any, cell_index: int) -> tuple[NotebookNode, Any]:
        """Clear one cell and name its stub."""
        cell, resources = super().preprocess_cell(cell, resources, cell_index)
        if kind_of(cell) == "stub":
            name = grade_id(cell)
            if name not in self._gradients:
                cell.source = cell.source.replace("{gradient} = None", "...")
            cell.source = cell.source.replace("{gradient}", name)
        return cell, resources


class AddSelfCheck(NbGraderPreprocessor):
    """Put beside a released exercise what a student needs to check it alone: a test, its cells, the requirements."""

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Add the files to what nbgrader writes."""
        if is_exercise(nb):
            from handgrad.grading.solution_values import record  # noqa: PLC0415 - it imports torch

            name, source = resources["nbgrader"]["notebook"], _source(self, resources)
            recorded = record(source.exercise) if source else []
            outputs = resources.setdefault("outputs", {})
            outputs.update({file: text.encode() for file, text in release_file.self_check(nb, name, recorded).items()})
        return nb, resources


class Mend(NbGraderPreprocessor):
    """Give the cells of an exercise the ids that they should have: nbgrader refuses copied, foreign and lost ones."""

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Put the ids of the instructor's notebook where the submission has these cells, and take away all others."""
        source = _source(self, resources)
        if source is not None:
            for cell, name in zip(nb.cells, Submission.of(nb, source.exercise).ids, strict=True):
                cell.metadata.pop("nbgrader", None)
                if name:
                    # nbgrader's own release says the kind of a cell too
                    cell.metadata["nbgrader"] = {**copy.deepcopy(source.metadata[name]), "cell_type": cell.cell_type}
        return nb, resources


class CheckOthers(CheckCellMetadata):
    """Check nbgrader's metadata, except of an exercise: :class:`Mend` gave its cells those of the instructor's.

    nbgrader checks its own schema again for every cell, which takes longer than the grading.
    """

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Check any other notebook as nbgrader does."""
        return (nb, resources) if _source(self, resources) else super().preprocess(nb, resources)


class Grade(Execute):
    """Grade an exercise in handgrad's sandbox; run any other notebook in a kernel, as nbgrader does."""

    def preprocess(self, nb: NotebookNode, resources: Any, **kwargs: Any) -> tuple[NotebookNode, Any]:
        """Grade the notebook and put outputs and verdicts into it."""
        ids = resources["nbgrader"]
        source = _source(self, resources)
        if source is None:
            return super().preprocess(nb, resources, **kwargs)
        converter = _converter(self)
        course, coursedir = _course(converter), converter.coursedir
        # the file, not nb: its ids say which cells were copied
        folder = coursedir.format_path(coursedir.submitted_directory, ids["student"], ids["assignment"])
        submission = Submission.of(read_notebook(Path(folder) / f"{ids['notebook']}.ipynb"), source.exercise)
        grader, graded = graded_in(course, source.exercise, submission)
        report = graded.report.for_student(ids["student"])
        ReportStore(course.private_folder / STORE).put(report)
        show(nb, grader, graded)
        resources[REPORT] = report
        return nb, resources


class Solve(Execute):
    """Leave the worked solution of an exercise without outputs and hidden tests; run any other notebook."""

    def preprocess(self, nb: NotebookNode, resources: Any, **kwargs: Any) -> tuple[NotebookNode, Any]:
        """Leave or run the notebook."""
        if is_exercise(nb):
            return ClearHiddenTests(parent=self.parent).preprocess(nb, resources)
        return super().preprocess(nb, resources, **kwargs)


class SaveVerdicts(SaveAutoGrades):
    """Save scores and comments of an exercise from its report; any other notebook as nbgrader does."""

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Save what the report says, in one transaction, whether or not its cells are still in the notebook."""
        self.report = resources.get(REPORT)
        source = _source(self, resources) if self.report else None
        self.exercise = source.exercise if source else None
        nb, resources = super().preprocess(nb, resources)
        if self.report and self.exercise:
            with Gradebook(self.db_url) as gradebook:
                self._save(gradebook, self.report, self.exercise)
                gradebook.db.commit()
        return nb, resources

    def _add_score(self, cell: NotebookNode, resources: Any) -> None:
        # a check earns what its verdict says: nbgrader gives full marks to one that shows nothing
        if self.report is None or kind_of(cell) != "check":
            super()._add_score(cell, resources)

    def _save(self, gradebook: Gradebook, report: Report, exercise: Exercise) -> None:
        cells = gradebook.find_notebook(self.notebook_id, self.assignment_id).grade_cells
        known = {cell.name: cell.max_score for cell in cells if cell.cell_type == "code"}
        if known != {verdict.id: verdict.max_points for verdict in report.checks}:
            raise ExerciseError(
                f"the gradebook knows {self.notebook_id} with other checks or points than its source has now: "
                f"run `handgrad release {self.assignment_id}`, then grade again."
            )
        where = (self.notebook_id, self.assignment_id, self.student_id)
        for verdict in report.checks:
            grade = gradebook.find_grade(verdict.id, *where)
            grade.auto_score = verdict.points
            grade.needs_manual_grade = grade.manual_score is not None or verdict.outcome == "tampered"
        for stub, text in comments(exercise, report).items():
            gradebook.find_comment(stub, *where).auto_comment = text


class HideTests(ClearHiddenTests):
    """Take the hidden tests of an exercise out of the autograded notebook, from which feedback is made."""

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Clear the hidden tests of a graded exercise."""
        return super().preprocess(nb, resources) if REPORT in resources else (nb, resources)


def comments(exercise: Exercise, report: Report) -> dict[str, str]:
    """Our comment on each stub of which there is something to say: what is said of its answers."""
    # what is the same for several answers of a stub is said once
    said: dict[str, dict[str, None]] = {}
    for verdict in report.checks:
        if text := comment(verdict):
            said.setdefault(exercise.check_of(verdict.gradient).stub, {})[sanitize_comment(text)] = None
    return {stub: "\n\n".join(texts) for stub, texts in said.items()}


def show(
    nb: NotebookNode, grader: "Grader", graded: "GradingResult", places: Sequence[int | None] | None = None
) -> None:
    """Put into ``nb`` what its cells showed in the visible pass, inert, and the verdicts under the check cells.

    ``places`` says where each cell stood in the notebook that was graded, unless it is ``nb`` as it is; None for a
    cell that did not.
    """
    verdicts, exercise = graded.report.verdicts(), grader.exercise
    at = dict(enumerate(places)) if places is not None else {place: place for place in range(len(nb.cells))}
    code = {place: cell for place, cell in enumerate(nb.cells) if cell.cell_type == "code"}
    shown: dict[int | None, Sequence[Any]] = dict(graded.outputs.items())
    for place, cell in code.items():
        cell.outputs = nbformat.from_dict(list(shown.get(at[place], [])))
        cell.execution_count = None
    texts = {cell.source for cell in exercise.cells if cell.kind == "text"}
    sanitize_notebook(nb, texts, {cell.name for cell in exercise.cells if cell.name})
    with_verdicts(nb, graded.report, grader.graph)
    # these come from the grader itself, with styles of their own
    ours = {**grader.printed(), **{name: check_outputs(verdict) for name, verdict in verdicts.items()}}
    for place, cell in code.items():
        name = grade_id(cell)
        if name in verdicts or (name in ours and at[place] not in shown):
            cell.outputs = nbformat.from_dict(list(ours[name]))


def _converter(part: Any) -> Any:
    """The converter of nbgrader's that an exporter or a step is a part of; None where it stands alone."""
    while part is not None and not hasattr(part, "coursedir"):
        part = part.parent
    return part


def _course(converter: Any) -> Course:
    """The course that one of nbgrader's converters works in."""
    return Course(Path(converter.coursedir.root).resolve(), converter.config)


@dataclass(frozen=True)
class _Source:
    """An instructor's notebook: what it asks for, and nbgrader's metadata of its cells by their grade_ids."""

    exercise: Exercise
    metadata: Mapping[str, Any]


def _source(part: Any, resources: Any) -> _Source | None:
    """The instructor's notebook of what is being graded; None where it is no exercise of ours, or in no course."""
    converter = _converter(part)
    if converter is None:
        return None
    ids = resources["nbgrader"]
    path = _course(converter).exercise_path(ids["assignment"], ids["notebook"])
    return _source_at(path, path.stat().st_mtime_ns) if path.is_file() else None


@functools.lru_cache
def _source_at(path: Path, changed: int) -> _Source | None:
    """The instructor's notebook as it is since ``changed``: read once, however many steps of however many students."""
    notebook = nbformat.read(path, as_version=4)
    if not is_exercise(notebook):
        return None
    metadata = {grade_id(cell): cell.metadata["nbgrader"] for cell in notebook.cells if grade_id(cell)}
    return _Source(Exercise.read(path), metadata)


def generate_assignment() -> list[Any]:
    """Nbgrader's steps of ``generate_assignment``, stubs named by their gradient and the self-check added."""
    steps = [NameStubs if step is ClearSolutions else step for step in GenerateAssignment().preprocessors]
    return [*steps, AddSelfCheck]


def sanitize() -> list[Any]:
    """Nbgrader's steps before ``autograde``, lost and copied ids of an exercise mended first."""
    return [Mend, *_checked_once(Autograde().sanitize_preprocessors)]


def autograde() -> list[Any]:
    """Nbgrader's steps of ``autograde``, with our executor, our scores, and hidden tests taken out at the end."""
    replaced = {Execute: Grade, SaveAutoGrades: SaveVerdicts}
    steps = [replaced.get(step, step) for step in Autograde().autograde_preprocessors]
    return [*_checked_once(steps), HideTests]


def _checked_once(steps: Sequence[Any]) -> list[Any]:
    return [CheckOthers if step is CheckCellMetadata else step for step in steps]


def generate_solution() -> list[Any]:
    """Nbgrader's steps of ``generate_solution``; an exercise's solution is written without outputs."""
    return [Solve if step is Execute else step for step in GenerateSolution().preprocessors]


_open = ExitStack()
atexit.register(_open.close)
_graders: "dict[str, Grader | IsolationError]" = {}


def graded_in(course: Course, exercise: Exercise, submission: Submission) -> "tuple[Grader, GradingResult]":
    """What a warm grader of the course says of a submission, and that grader.

    This process may be a Jupyter server that runs for weeks: where the warm process has ended, another takes its place.

    Raises
    ------
    SandboxError
        The grader's own processes failed, also new ones.
    """
    grader = _grader(course, exercise)
    try:
        return grader, grader.grade(submission)
    except SandboxError:
        # whichever it was
        _open.close()
        _graders.clear()
    grader = _grader(course, exercise)
    return grader, grader.grade(submission)


def _grader(course: Course, exercise: Exercise) -> "Grader":
    """A warm grader for ``exercise``: one for all submissions that this process grades."""
    key = json.dumps([str(exercise.directory), exercise.digest, course.seeds(), repr(course.settings)])
    if key not in _graders:
        try:
            _graders[key] = _open.enter_context(course.grader(exercise))
        except IsolationError as error:
            # it is the same for every submission: said at once for the next
            _graders[key] = error
    found = _graders[key]
    if isinstance(found, IsolationError):
        raise found
    return found
