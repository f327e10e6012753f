"""What a worker does: one submission in, everything that is kept of it out.

A worker may be any process on any machine: it reads no course folder and opens no database. What it has to know of an
assignment travels with each submission, as plain data; its warm grader is made from that once.
"""

import faulthandler
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing.util import Finalize
from pathlib import Path

import torch

from handgrad.course.answer_record import record_key, record_of
from handgrad.course.course import Course
from handgrad.course.nbgrader.notebook_steps import GradebookRow, Pages
from handgrad.course.nbgrader.preprocessors import comments
from handgrad.course.workers.task import SubmittedFile, Task, WorkerResult, without_score
from handgrad.errors import HandgradError, SandboxError, SubmissionError
from handgrad.exercise.exercise import Exercise
from handgrad.grading.grader import Grader
from handgrad.notebook import tidying
from handgrad.notebook.reading import parse_notebook
from handgrad.sandbox.fork_server import ForkServerClient
from handgrad.submission.submission import Submission

__all__ = ["begin", "feedback", "grade", "warm_up"]


class AssignmentWorker:
    """A worker's place for one assignment: its files, its warm grader, its pages."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.pages = Pages(task.source(), task.name, task.config)
        self.sent: set[str] = set()
        self._open = ExitStack()
        self._grader: Grader | None = None
        self._finalizer = Finalize(None, self.close, exitpriority=10)

    @property
    def grader(self) -> Grader:
        """The warm grader; a new one where the last has failed."""
        if self._grader is None:
            folder = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="handgrad-")))
            for name, content in self.task.files.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            exercise = Exercise.read(folder / f"{self.task.name}.ipynb")
            course = Course(folder, self.task.config)
            # its isolation is tried out by the grader; where none is asked for it has no use for a warm process
            process = _stem[0].warm() if _stem and course.settings.isolation == "best" else None
            self._grader = self._open.enter_context(course.grader(exercise, self.task.seeds, process))
        return self._grader

    def close(self) -> None:
        """End the warm processes."""
        self._grader = None
        self._open.close()

    def mark(self, handed: SubmittedFile) -> WorkerResult:
        """Grade a submission; see :func:`grade`."""
        notebook = parse_notebook(handed.content, handed.where)
        grader = self.grader
        submission = Submission.of(notebook, grader.exercise)
        graded = grader.grade(submission)
        message = " ".join(note for note in (handed.note, graded.report.message) if note)
        report = replace(graded.report, student=handed.student, message=message)
        graded = replace(graded, report=report)
        page, untouched = self.pages.autograded(submission, grader, graded)
        said: dict[str, str | None] = dict.fromkeys(untouched, "No response.")
        said.update(comments(grader.exercise, report))
        record = record_of(graded, self.sent)
        self.sent.update(record.answers)
        key = record_key(grader.exercise, grader.passes, submission)
        return WorkerResult(report, tidying.text_of(page), said, key, record)


_stem: list[ForkServerClient] = []
"""Where this process asks for warm processes; nothing where it starts its own."""
_at_work = threading.Lock()
"""A grader does one thing at a time, whatever the threads of its process."""
_desks: dict[str, AssignmentWorker] = {}


def _desk(task: Task) -> AssignmentWorker:
    """The process's desk for ``task``; the one for another task is closed."""
    if task.digest not in _desks:
        torch.set_num_threads(1)
        while _desks:
            _desks.popitem()[1].close()
        _desks[task.digest] = AssignmentWorker(task)
    return _desks[task.digest]


def begin(asking: ForkServerClient) -> None:
    """Fork warm processes from the stem that ``asking`` asks, in place of starting them."""
    _stem[:] = [asking]


def warm_up(task: Task) -> None:
    """Get everything ready for the first submission.

    Raises
    ------
    HandgradError
        The exercise cannot be graded here.
    """
    with _at_work:
        _ = _desk(task).grader


def grade(task: Task, handed: SubmittedFile) -> WorkerResult:
    """Grade one submission of an assignment: never an exception, always a report with its outcome."""
    if handed.fault:
        return without_score(task.name, handed.student, *handed.fault)
    with _at_work:
        # a process that is stuck ends itself, and the batch starts another
        faulthandler.dump_traceback_later(task.patience, exit=True)
        try:
            return _marked(task, handed)
        finally:
            faulthandler.cancel_dump_traceback_later()


def _marked(task: Task, handed: SubmittedFile) -> WorkerResult:
    for attempt in (1, 2):
        desk = _desk(task)
        try:
            return desk.mark(handed)
        except SubmissionError as error:
            return without_score(task.name, handed.student, "unreadable", str(error))
        except SandboxError as error:
            # the warm process is gone: a new one may do
            desk.close()
            if attempt == 2:
                return without_score(task.name, handed.student, "not-graded", str(error))
        except HandgradError as error:
            return without_score(task.name, handed.student, "not-graded", str(error))
        except Exception as error:
            message = f"the grader itself failed: {type(error).__name__}: {error}"
            return without_score(task.name, handed.student, "not-graded", message)
    raise AssertionError("unreachable")


def feedback(task: Task, student: str, notebook: str, facts: GradebookRow | None, solutions: bool = False) -> str:
    """A student's feedback page, with worked ``solutions`` or without; empty for a submission that is not graded."""
    if facts is None:
        return ""
    with _at_work:
        return _desk(task).pages.feedback(notebook, student, facts, solutions=solutions)
