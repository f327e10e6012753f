"""nbgrader's steps for the notebooks of one assignment, without its database.

They write into ``autograded/`` and ``feedback/`` what nbgrader's own commands would write. Facts about cells come from
the instructor's notebook instead of the gradebook; scores and comments are passed in.
"""

import copy
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import nbformat
from nbformat import NotebookNode
from nbgrader.converters import Autograde, GenerateAssignment, GenerateFeedback
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    DeduplicateIds,
    Execute,
    GetGrades,
    NbGraderPreprocessor,
    OverwriteCells,
    OverwriteKernelspec,
    SaveAutoGrades,
    SaveCells,
)
from nbgrader.utils import compute_checksum, is_grade, is_locked, is_solution, is_task
from traitlets.config import Config

from handgrad.course.nbgrader.feedback_exporter import NO_RESPONSE, FeedbackExporter
from handgrad.course.nbgrader.preprocessors import REPORT, CheckOthers, Grade, RepairIds, SaveVerdicts, show
from handgrad.errors import CourseError
from handgrad.report.records import Report, final_score
from handgrad.submission.submission import Submission

if TYPE_CHECKING:
    from handgrad.grading.grader import Grader, GradingResult

__all__ = ["LOG", "CellGrade", "GradebookRow", "Known", "NotebookSteps", "as_saved", "untouched"]

LOG = logging.getLogger("handgrad.course.nbgrader")
LOG.setLevel(logging.CRITICAL)


def as_saved(notebook: NotebookNode, name: str, config: Config) -> NotebookNode:
    """The instructor's ``notebook`` as nbgrader's ``generate_assignment`` saves its cells: as students get them."""
    notebook = copy.deepcopy(notebook)
    resources = {"nbgrader": {"assignment": name, "notebook": name, "student": "."}}
    for step in GenerateAssignment(config=config).preprocessors:
        if issubclass(step, SaveCells):
            break
        notebook, resources = step(config=config, log=LOG).preprocess(notebook, resources)
    return notebook


def untouched(notebook: NotebookNode) -> list[str]:
    """The grade_ids of the solution cells that are unchanged since the release."""
    return [
        cell.metadata.nbgrader["grade_id"]
        for cell in notebook.cells
        if is_solution(cell) and cell.metadata.nbgrader.get("checksum") == compute_checksum(cell)
    ]


class Known:
    """The cells of a notebook as the gradebook has them, for nbgrader's steps that look them up there."""

    def __init__(self, saved: NotebookNode) -> None:
        self.kernelspec = json.dumps(saved.metadata.get("kernelspec", {}))
        self.source_cells: list[Any] = []
        self.grade_cells: list[Any] = []
        self.solution_cells: list[Any] = []
        self.task_cells: list[Any] = []
        for cell in saved.cells:
            facts = cell.metadata.get("nbgrader", {})
            points = float(facts["points"]) if "points" in facts else 0.0
            known = SimpleNamespace(
                name=facts.get("grade_id"),
                metadata=facts,
                cell_type=cell.cell_type,
                locked=is_locked(cell),
                source=cell.source,
                checksum=facts.get("checksum"),
                max_score=points,
            )
            kinds = (
                (is_grade(cell), self.grade_cells),
                (is_solution(cell), self.solution_cells),
                (is_task(cell), self.task_cells),
            )
            for cells in [cells for is_kind, cells in kinds if is_kind]:
                cells.append(known)
            if known.locked or any(is_kind for is_kind, _ in kinds):
                self.source_cells.append(known)
        self.cells = {cell.name: cell for cell in self.source_cells}

    def find_notebook(self, *_: str) -> "Known":
        """The notebook itself."""
        return self


class _OverwriteCells(OverwriteCells):
    """nbgrader's step with ``known`` in place of the gradebook.

    The cells that the submission shares with the exercise get their original metadata, and the locked ones their
    sources; any other cell loses nbgrader's metadata.
    """

    known: Known
    ids: Sequence[str]

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        self.gradebook, self.notebook_id, self.assignment_id = self.known, "", ""
        nb, resources = NbGraderPreprocessor.preprocess(self, nb, resources)
        if self.add_missing_cells:
            nb, resources = self.add_missing_grade_cells(nb, resources)
            nb, resources = self.add_missing_task_cells(nb, resources)
        return nb, resources

    def preprocess_cell(self, cell: NotebookNode, resources: Any, cell_index: int) -> tuple[NotebookNode, Any]:
        cell.metadata.pop("nbgrader", None)
        known = self.known.cells.get(self.ids[cell_index])
        if known is not None:
            cell.metadata["nbgrader"] = copy.deepcopy(known.metadata)
            self.update_cell_type(cell, known.cell_type)
            if known.locked:
                cell.source = known.source
        return cell, resources


class _OverwriteKernelspec(NbGraderPreprocessor):
    """nbgrader's step with ``known`` in place of the gradebook."""

    known: Known

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        if kernelspec := json.loads(self.known.kernelspec):
            nb.metadata["kernelspec"] = kernelspec
        return nb, resources


class _GetGrades(GetGrades):
    """nbgrader's step with ``row`` in place of the gradebook."""

    row: "GradebookRow"

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        nb, resources = NbGraderPreprocessor.preprocess(self, nb, resources)
        resources["nbgrader"].update(
            score=final_score(self.row.score, self.row.late_penalty),
            max_score=self.row.max_score,
            late_penalty=self.row.late_penalty,
            name=self.row.name,
        )
        return nb, resources

    def _get_comment(self, cell: NotebookNode, resources: Any) -> None:
        cell.metadata.nbgrader["comment"] = self.row.comment(cell.metadata.nbgrader["grade_id"])

    def _get_score(self, cell: NotebookNode, resources: Any) -> None:
        grade = self.row.cells[cell.metadata.nbgrader["grade_id"]]
        cell.metadata.nbgrader.update(score=grade.score, points=grade.points)


@dataclass(frozen=True)
class CellGrade:
    """One graded cell of a student in the gradebook: its points, scores and extra credit, and if it needs review."""

    points: float
    auto: float | None = None
    manual: float | None = None
    extra: float = 0.0
    waiting: bool = field(default=False, compare=False)

    @property
    def score(self) -> float:
        """The manual score, or the automatic score if there is none, plus extra credit; 0 if there is neither."""
        score = self.manual if self.manual is not None else self.auto
        return 0.0 if score is None else score + self.extra


@dataclass(frozen=True)
class GradebookRow:
    """Scores and comments of a student's notebook in the gradebook.

    Attributes
    ----------
    cells
        Each graded cell, by name.
    comments, manual_comments
        The automatic and the manual comment on each solution cell, by name.
    late_penalty
        Points taken off for handing in late.
    name
        The student's first and last name; empty if the roster has none.
    """

    cells: Mapping[str, CellGrade]
    comments: Mapping[str, str | None]
    manual_comments: Mapping[str, str | None] = field(default_factory=dict)
    late_penalty: float = 0.0
    name: str = ""

    @property
    def score(self) -> float:
        """Points earned, before the late penalty."""
        return sum(cell.score for cell in self.cells.values())

    @property
    def max_score(self) -> float:
        """Points that can be earned."""
        return sum(cell.points for cell in self.cells.values())

    def comment(self, name: str) -> str | None:
        """The comment on a cell: the manual one, or the automatic one if there is none."""
        manual = self.manual_comments.get(name)
        return manual if manual is not None else self.comments.get(name)

    def updated(self, report: Report, comments: Mapping[str, str | None]) -> "GradebookRow":
        """The row after ``report`` and its ``comments`` have been saved; manual scores and comments stay.

        As in nbgrader, a text that answers a question has no automatic score, and 0 if it is unchanged.
        """
        points = dict.fromkeys((name for name, text in comments.items() if text == NO_RESPONSE), 0.0)
        points |= {verdict.id: verdict.points for verdict in report.checks}
        cells = {name: replace(cell, auto=points.get(name)) for name, cell in self.cells.items()}
        return replace(self, cells=cells, comments={name: comments.get(name) for name in self.comments})


class NotebookSteps:
    """nbgrader's steps for the notebooks of the assignment ``name``, whose instructor's notebook is ``source``."""

    def __init__(self, source: NotebookNode, name: str, config: Config) -> None:
        self.source, self.name, self.config = source, name, config
        self.known = Known(as_saved(source, name, config))
        converter = Autograde(config=config)
        self._before = self._steps(converter.sanitize_preprocessors)
        self._after = self._steps(converter.autograde_preprocessors)
        self._feedback: Any = None

    def _steps(self, classes: Sequence[Any]) -> list[Any]:
        """Instances of nbgrader's steps, without those that run or check cells or write to the gradebook."""
        ours = {OverwriteCells: _OverwriteCells, OverwriteKernelspec: _OverwriteKernelspec}
        elsewhere = {Execute, Grade, SaveAutoGrades, SaveVerdicts, AssignLatePenalties}
        elsewhere |= {RepairIds, DeduplicateIds, CheckCellMetadata, CheckOthers}
        steps = [ours.get(step, step)(config=self.config, log=LOG) for step in classes if step not in elsewhere]
        for step in steps:
            step.known = self.known
        return [step for step in steps if step.enabled]

    def resources(self, student: str) -> dict[str, Any]:
        """The ``resources`` of nbgrader's steps for a student's notebook."""
        ids = {"assignment": self.name, "notebook": self.name, "student": student, "db_url": ""}
        return {"unique_key": self.name, "output_files_dir": f"{self.name}_files", "nbgrader": ids}

    def autograded(
        self, submission: Submission, grader: "Grader", graded: "GradingResult"
    ) -> tuple[NotebookNode, list[str]]:
        """The notebook as nbgrader's ``autograde`` would write it (changed in place), and its unchanged stubs."""
        notebook, resources = submission.notebook, self.resources(graded.report.student)
        places = {id(cell): position for position, cell in enumerate(notebook.cells)}
        for step in self._before:
            step.ids = submission.ids
            notebook, resources = step.preprocess(notebook, resources)
        unchanged = untouched(notebook)
        show(notebook, grader, graded, [places.get(id(cell)) for cell in notebook.cells])
        resources[REPORT] = graded.report
        for step in self._after:
            notebook, resources = step.preprocess(notebook, resources)
        return notebook, unchanged

    def feedback(self, text: str, student: str, row: GradebookRow, *, solutions: bool = False) -> str:
        """The feedback page that nbgrader's ``generate_feedback`` would make of an autograded notebook.

        With ``solutions`` it shows the worked solution of what is not right. If the course's configuration names
        another exporter, which cannot, that is a CourseError.
        """
        if self._feedback is None:
            self._feedback = self._exporter()
        if solutions and not isinstance(self._feedback, FeedbackExporter):
            raise CourseError(
                "only handgrad's own feedback pages show solutions: set `c.GenerateFeedback.exporter_class = "
                "handgrad.FeedbackExporter` in the course's nbgrader_config.py, as a new course does."
            )
        if isinstance(self._feedback, FeedbackExporter):
            self._feedback.with_solutions = solutions or self._solutions_configured
        self._grades.row = row
        notebook = nbformat.reads(text, as_version=4)
        page: str = self._feedback.from_notebook_node(notebook, resources=self.resources(student))[0]
        return page

    def _exporter(self) -> Any:
        converter = GenerateFeedback(coursedir=CourseDirectory(config=self.config), config=self.config)
        exporter = converter.exporter_class(parent=converter, config=converter.config)
        if isinstance(exporter, FeedbackExporter):
            exporter.source = self.source
            self._solutions_configured = exporter.with_solutions
        self._grades = _GetGrades(config=self.config, log=LOG)
        for step in converter.preprocessors:
            exporter.register_preprocessor(self._grades if step is GetGrades else step, enabled=True)
        return exporter
