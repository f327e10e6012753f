"""Preprocessors with which nbgrader's own commands release and grade handgrad exercises.

A course lists them in its ``nbgrader_config.py``. They change handgrad exercises only: any other assignment of the same
course goes through nbgrader's own preprocessor.
"""

import atexit
import copy
import functools
import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
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
    SaveCells,
)
from traitlets import Dict

from handgrad.course.course import Course, Handgrad
from handgrad.course.nbgrader.feedback_exporter import NO_RESPONSE, with_verdicts
from handgrad.course.nbgrader.folders import course_of, trusted_folder
from handgrad.course.nbgrader.release_folders import CheckSource, SaveCellsLast
from handgrad.course.nbgrader.sanitize import sanitize_comment, sanitize_notebook
from handgrad.course.report_store import STORE, ReportStore
from handgrad.course.solution_recording import record_solution
from handgrad.errors import ExerciseError, IsolationError, SandboxError, SubmissionError, TextLimitError
from handgrad.exercise import release_file
from handgrad.exercise.exercise import Exercise, grade_id, is_exercise, kind_of
from handgrad.notebook.reading import read_notebook
from handgrad.notebook.text_limits import limited
from handgrad.notebook.untrusted_files import in_quotes, is_configuration, walk
from handgrad.report.check_output import check_outputs, comment
from handgrad.report.records import NEEDS_REVIEW, Report
from handgrad.student import installation
from handgrad.submission.solution_copies import solution_copies
from handgrad.submission.submission import Submission

if TYPE_CHECKING:
    from handgrad.grading.grader import Grader, GradingResult

__all__ = [
    "AddSelfCheck",
    "CheckOthers",
    "Grade",
    "HideTests",
    "NameStubs",
    "RepairIds",
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
"""Key of the report in nbgrader's ``resources``, from :class:`Grade` to :class:`SaveVerdicts`."""


class TolerantExporter(NotebookExporter):
    """Reads an exercise as `handgrad check` does: invalid outputs, a byte order mark or duplicate ids are tolerated.

    Any other notebook is read as nbgrader does.
    """

    def from_filename(self, filename: str, resources: Any = None, **kw: Any) -> tuple[NotebookNode, Any]:
        """Convert a file; ours is read here, since nbconvert would wait for a pipe."""
        path = Path(filename)
        _remove_what_was_not_handed_in(self, path, resources)
        is_ours = _source(self, resources) is not None
        with limited():
            self._notebook = read_notebook(path, _trusted(self, path)) if is_ours else None
        return super().from_filename(filename, resources=resources, **kw)

    def from_file(self, file_stream: Any, resources: Any = None, **kw: Any) -> tuple[NotebookNode, Any]:
        """Convert the notebook that :meth:`from_filename` has read and tidied."""
        if self._notebook is None:
            return super().from_file(file_stream, resources=resources, **kw)
        return self.from_notebook_node(self._notebook, resources=resources, **kw)


class NameStubs(ClearSolutions):
    """Clear the solutions of an exercise; ``{gradient}`` in ``c.NameStubs.code_stub`` becomes the cell's gradient.

    A cell whose answer is not a gradient begins with ``...``. Other notebooks are cleared by nbgrader's own step, with
    its own stub.
    """

    code_stub = Dict({"python": "{gradient} = None  # your code here"}, help="The code of a stub, by language.").tag(
        config=True
    )

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Clear the cells of a notebook."""
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
    """Add to a released exercise the files with which a student checks it: a test, the exercise, the requirements.

    With ``c.Handgrad.assistant_instructions`` also the rules for coding assistants.
    """

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Add the files to what nbgrader writes."""
        if is_exercise(nb):
            name, source = resources["nbgrader"]["notebook"], _source(self, resources)
            recorded = record_solution(source.exercise, source.path) if source else []
            outputs = resources.setdefault("outputs", {})
            texts = release_file.self_check(nb, name, recorded)
            if Handgrad(config=self.config).assistant_instructions:
                texts |= release_file.ASSISTANT_FILES
            outputs.update({file: text.encode() for file, text in texts.items()})
        return nb, resources


class RepairIds(NbGraderPreprocessor):
    """Give the cells of an exercise their grade_ids: nbgrader refuses duplicate, unknown and missing ones."""

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Set the grade_ids of the instructor's notebook on the matching cells, and remove all others."""
        source = _source(self, resources)
        if source is not None:
            with limited():
                ids = Submission.of(nb, source.exercise).ids
            for cell, name in zip(nb.cells, ids, strict=True):
                cell.metadata.pop("nbgrader", None)
                if name:
                    # nbgrader's own release has the cell type too
                    cell.metadata["nbgrader"] = {**copy.deepcopy(source.metadata[name]), "cell_type": cell.cell_type}
        return nb, resources


class CheckOthers(CheckCellMetadata):
    """Check nbgrader's metadata, except of an exercise: :class:`RepairIds` has set that of its cells.

    nbgrader validates every cell, which takes longer than the grading.
    """

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Check any other notebook as nbgrader does."""
        return (nb, resources) if _source(self, resources) else super().preprocess(nb, resources)


class Grade(Execute):
    """Grade an exercise in handgrad's sandbox; run any other notebook in a kernel, as nbgrader does."""

    def preprocess(self, nb: NotebookNode, resources: Any, **kwargs: Any) -> tuple[NotebookNode, Any]:
        """Grade the notebook, and put outputs and verdicts into it."""
        ids = resources["nbgrader"]
        source = _source(self, resources)
        if source is None:
            return super().preprocess(nb, resources, **kwargs)
        converter = _converter(self)
        course, coursedir = course_of(converter), converter.coursedir
        # the file, not nb: its original ids show which cells were copied
        folder = coursedir.format_path(coursedir.submitted_directory, ids["student"], ids["assignment"])
        path = Path(folder) / f"{ids['notebook']}.ipynb"
        # the instructor's own cells, which start the grader, are not under the limits
        grader_in(course, source.exercise)
        try:
            with limited():
                submission = Submission.of(read_notebook(path, _trusted(self, path)), source.exercise)
                grader, graded = graded_in(course, source.exercise, submission)
                show(nb, grader, graded)
        except TextLimitError:
            # the limit may have cut a message of the warm process in two
            _close_graders()
            raise
        copied = solution_copies(submission, source.exercise)
        if copied:
            text = "%s holds the instructor's own solution cells (%d of them): compare it with solutions/."
            self.log.warning(text, ids["student"], len(copied))
        report = replace(graded.report, student=ids["student"], solution_cells=len(copied))
        ReportStore(course.private_folder / STORE).put(report)
        resources[REPORT] = report
        return nb, resources


class Solve(Execute):
    """Write the worked solution of an exercise without outputs and hidden tests; run any other notebook."""

    def preprocess(self, nb: NotebookNode, resources: Any, **kwargs: Any) -> tuple[NotebookNode, Any]:
        """Clear the hidden tests, or run the notebook."""
        if is_exercise(nb):
            return ClearHiddenTests(parent=self.parent).preprocess(nb, resources)
        return super().preprocess(nb, resources, **kwargs)

    def start_new_kernel(self, **kwargs: Any) -> None:
        """Start the kernel without its own messages, such as a traceback if the command is stopped."""
        super().start_new_kernel(**{"stderr": subprocess.DEVNULL, **kwargs})


class SaveVerdicts(SaveAutoGrades):
    """Save scores and comments of an exercise from its report; any other notebook as nbgrader does."""

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Save the report in one transaction, even for cells that are missing in the notebook."""
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
        # its points come from the verdict: nbgrader would give full marks to a check without outputs
        if self.report is None or kind_of(cell) != "check":
            super()._add_score(cell, resources)

    def _save(self, gradebook: Gradebook, report: Report, exercise: Exercise) -> None:
        cells = gradebook.find_notebook(self.notebook_id, self.assignment_id).grade_cells
        known = {cell.name: cell.max_score for cell in cells if cell.cell_type == "code"}
        if known != {verdict.id: verdict.max_points for verdict in report.checks}:
            raise ExerciseError(
                f"the gradebook has other checks or points for {self.notebook_id} than its source: "
                f"run `handgrad release {self.assignment_id}`, then grade again."
            )
        ids = (self.notebook_id, self.assignment_id, self.student_id)
        for verdict in report.checks:
            grade = gradebook.find_grade(verdict.id, *ids)
            grade.auto_score = verdict.points
            grade.needs_manual_grade = grade.manual_score is not None or verdict.outcome in NEEDS_REVIEW
        for stub, text in comments(exercise, report).items():
            gradebook.find_comment(stub, *ids).auto_comment = text


class HideTests(ClearHiddenTests):
    """Remove the hidden tests of an exercise from the autograded notebook, from which feedback is made."""

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Clear the hidden tests of a graded exercise."""
        return super().preprocess(nb, resources) if REPORT in resources else (nb, resources)


def comments(exercise: Exercise, report: Report, unchanged: Sequence[str] = ()) -> dict[str, str]:
    """The automatic comment on each stub: the comments on its answers, without repetitions; nbgrader's if unchanged."""
    texts: dict[str, dict[str, None]] = {}
    for verdict in report.checks:
        if text := comment(verdict):
            texts.setdefault(exercise.check_of(verdict.gradient).stub, {})[sanitize_comment(text)] = None
    return dict.fromkeys(unchanged, NO_RESPONSE) | {stub: "\n\n".join(of_stub) for stub, of_stub in texts.items()}


def show(
    nb: NotebookNode, grader: "Grader", graded: "GradingResult", positions: Sequence[int | None] | None = None
) -> None:
    """Put the sanitized outputs of the visible pass into ``nb``, and the verdicts under its check cells.

    ``positions`` are those of the cells in the graded notebook, None for a new cell (default: the same).
    """
    verdicts, exercise = graded.report.verdicts(), grader.exercise
    at = range(len(nb.cells)) if positions is None else positions
    code = {position: cell for position, cell in enumerate(nb.cells) if cell.cell_type == "code"}
    shown: dict[int | None, Sequence[Any]] = dict(graded.outputs.items())
    for position, cell in code.items():
        cell.outputs = nbformat.from_dict(list(shown.get(at[position], [])))
        cell.execution_count = None
    texts = {cell.source for cell in exercise.cells if cell.kind == "text"}
    sanitize_notebook(nb, texts, {cell.name for cell in exercise.cells if cell.name})
    with_verdicts(nb, graded.report, grader.graph)
    # these outputs are the grader's own: they keep their styles
    ours = {**grader.printed(), **{name: check_outputs(verdict) for name, verdict in verdicts.items()}}
    for position, cell in code.items():
        name = grade_id(cell)
        if name in verdicts or (name in ours and at[position] not in shown):
            cell.outputs = nbformat.from_dict(list(ours[name]))


def _converter(part: Any) -> Any:
    """The nbgrader converter of an exporter or preprocessor; None if it has none."""
    while part is not None and not hasattr(part, "coursedir"):
        part = part.parent
    return part


def _remove_what_was_not_handed_in(part: Any, path: Path, resources: Any) -> None:
    """Remove from an autograded folder the copies of what a student's links lead to, and of configurations.

    nbgrader's ``autograde`` copies the files beside a notebook, whatever they are, before it reads the notebook.
    """
    converter = _converter(part)
    if converter is None or not isinstance(converter, Autograde):
        return
    coursedir, ids = converter.coursedir, resources["nbgrader"]
    handed_in, copies = (
        Path(coursedir.format_path(step, ids["student"], ids["assignment"]))
        for step in (coursedir.submitted_directory, coursedir.autograded_directory)
    )
    if path.parent != handed_in:
        return
    given = Path(coursedir.format_path(coursedir.source_directory, ".", ids["assignment"]))
    with suppress(SubmissionError, FileNotFoundError):
        for entry in walk(handed_in, trusted_folder(coursedir, handed_in)):
            is_theirs = entry.kind == "link" or is_configuration(entry.path.name)
            if is_theirs and not (given / entry.path).exists() and (copies / entry.path).is_file():
                converter.log.warning("%s: %s is not copied.", ids["student"], in_quotes(str(entry.path)))
                (copies / entry.path).unlink()


def _trusted(part: Any, path: Path) -> Path:
    """The folder below which no link is followed to a notebook that was handed in."""
    return trusted_folder(_converter(part).coursedir, path)


@dataclass(frozen=True)
class _Source:
    """An instructor's notebook: its exercise, nbgrader's metadata of its cells by grade_id, and its file."""

    exercise: Exercise
    metadata: Mapping[str, Any]
    path: Path


def _source(part: Any, resources: Any) -> _Source | None:
    """The instructor's notebook of the current assignment; None if it is not a handgrad exercise or not in a course."""
    converter = _converter(part)
    if converter is None:
        return None
    ids = resources["nbgrader"]
    path = course_of(converter).exercise_path(ids["assignment"], ids["notebook"])
    return _source_at(path, path.stat().st_mtime_ns) if path.is_file() else None


@functools.lru_cache
def _source_at(path: Path, changed: int) -> _Source | None:
    """The instructor's notebook, last changed at ``changed``: cached, since every step for every student needs it."""
    notebook = nbformat.read(path, as_version=4)
    if not is_exercise(notebook):
        return None
    metadata = {grade_id(cell): cell.metadata["nbgrader"] for cell in notebook.cells if grade_id(cell)}
    return _Source(Exercise.read(path), metadata, path)


def generate_assignment() -> list[Any]:
    """Nbgrader's steps of ``generate_assignment``, with :class:`NameStubs` and :class:`AddSelfCheck`.

    Whatever fails, what was released before stays, and so do its cells in the gradebook.
    """
    ours = {ClearSolutions: NameStubs, SaveCells: SaveCellsLast}
    return [CheckSource, *_replaced(GenerateAssignment().preprocessors, ours), AddSelfCheck]


def sanitize() -> list[Any]:
    """Nbgrader's steps before ``autograde``, with :class:`RepairIds` first."""
    return [RepairIds, *_replaced(Autograde().sanitize_preprocessors, {CheckCellMetadata: CheckOthers})]


def autograde() -> list[Any]:
    """Nbgrader's steps of ``autograde``, with :class:`Grade`, :class:`SaveVerdicts` and, last, :class:`HideTests`."""
    ours = {Execute: Grade, SaveAutoGrades: SaveVerdicts, CheckCellMetadata: CheckOthers}
    return [*_replaced(Autograde().autograde_preprocessors, ours), HideTests]


def generate_solution() -> list[Any]:
    """Nbgrader's steps of ``generate_solution``, with :class:`CheckSource` and :class:`Solve`."""
    return [CheckSource, *_replaced(GenerateSolution().preprocessors, {Execute: Solve})]


def _replaced(steps: Sequence[Any], ours: Mapping[Any, Any]) -> list[Any]:
    return [ours.get(step, step) for step in steps]


_open = ExitStack()
atexit.register(_open.close)
_graders: "dict[str, Grader | IsolationError]" = {}


def graded_in(course: Course, exercise: Exercise, submission: Submission) -> "tuple[Grader, GradingResult]":
    """Grade a submission with a warm grader of the course, and return both.

    This process may be a Jupyter server that runs for weeks: warm processes that have failed are replaced once. Errors
    are those of :class:`.Grader`.
    """
    grader = grader_in(course, exercise)
    try:
        return grader, grader.grade(submission)
    except SandboxError:
        _close_graders()
    grader = grader_in(course, exercise)
    return grader, grader.grade(submission)


def _close_graders() -> None:
    """End the warm processes; the next submission gets new ones."""
    _open.close()
    _graders.clear()


def grader_in(course: Course, exercise: Exercise) -> "Grader":
    """A warm grader for ``exercise``: one for all submissions that this process grades."""
    key = json.dumps([str(exercise.directory), exercise.digest, course.seeds(), repr(course.settings)])
    if key not in _graders:
        try:
            installation.refuse_untried_torch()
            _graders[key] = _open.enter_context(course.grader(exercise))
        except IsolationError as error:
            # raised at once for the next submission too
            _graders[key] = error
    grader = _graders[key]
    if isinstance(grader, IsolationError):
        raise grader
    return grader
