"""What a worker does: grade one submission and return everything that is kept of it.

A worker can be any process on any machine: it reads no course folder and opens no database. It gets the assignment as
plain data, and makes its warm grader from that once.
"""

import faulthandler
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing.util import Finalize
from pathlib import Path

import torch

from handgrad.course.nbgrader.notebook_steps import GradebookRow, NotebookSteps
from handgrad.course.nbgrader.preprocessors import comments
from handgrad.course.workers.task import SubmittedFile, Task, WorkerResult, without_score
from handgrad.errors import HandgradError, SandboxError, SubmissionError, TextLimitError
from handgrad.exercise.exercise import Exercise
from handgrad.grading.grader import Grader
from handgrad.notebook import tidying
from handgrad.notebook.execution import without_paths
from handgrad.notebook.reading import parse_notebook
from handgrad.notebook.text_limits import limited
from handgrad.sandbox.fork_server import begin, warm_process
from handgrad.sandbox.isolation import linux
from handgrad.student import installation
from handgrad.submission.solution_copies import solution_copies
from handgrad.submission.submission import Submission

__all__ = ["begin", "feedback", "grade", "warm_up"]


class AssignmentWorker:
    """What a worker has for one assignment: its files, its warm grader, nbgrader's steps."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.steps = NotebookSteps(task.source(), task.name, task.config)
        self._open = ExitStack()
        self._grader: Grader | None = None
        self._finalizer = Finalize(None, self.close, exitpriority=10)

    @property
    def grader(self) -> Grader:
        """The warm grader; a new one if the last has failed."""
        if self._grader is None:
            installation.refuse_untried_torch()
            folder = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="handgrad-")))
            for name, content in self.task.files.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            exercise = Exercise.read(folder / f"{self.task.name}.ipynb")
            grader = Grader(exercise, self.task.seeds, self.task.settings, warm_process())
            self._grader = self._open.enter_context(grader)
            # of what the locked cells have built: for backprop a worker has 104 MB of its own in place of 132
            linux.return_memory()
        return self._grader

    def close(self) -> None:
        """End the warm processes."""
        self._grader = None
        self._open.close()

    def grade(self, submitted: SubmittedFile, known: GradebookRow | None) -> WorkerResult:
        """Grade a submission; see :func:`grade`."""
        # the instructor's own cells are not under the limits
        grader = self.grader
        # waiting for the sandbox takes no processor time of this process
        with limited(self.task.text_seconds, may_kill=True):
            return self._graded(grader, submitted, known)

    def _graded(self, grader: Grader, submitted: SubmittedFile, known: GradebookRow | None) -> WorkerResult:
        notebook = parse_notebook(submitted.content, submitted.where)
        submission = Submission.of(notebook, grader.exercise)
        graded = grader.grade(submission)
        message = " ".join(note for note in (submitted.note, graded.report.message) if note)
        report = replace(graded.report, student=submitted.student, message=message)
        autograded, untouched = self.steps.autograded(submission, grader, replace(graded, report=report))
        # for the instructor only: after the autograded notebook, of which the student's page is made
        report = replace(report, solution_cells=len(solution_copies(submission, grader.exercise)))
        text = tidying.text_of(autograded)
        texts = comments(grader.exercise, report, untouched)
        row = known and known.updated(report, texts)
        page = self.steps.feedback(text, submitted.student, row) if row else ""
        return WorkerResult(report, text, texts, row, page)


_at_work = threading.Lock()
"""A grader grades one submission at a time, whichever thread calls it."""
_workers: dict[str, AssignmentWorker] = {}


def _worker(task: Task) -> AssignmentWorker:
    """The worker of this process for ``task``; that of another task is closed."""
    if task.digest not in _workers:
        torch.set_num_threads(1)
        while _workers:
            _workers.popitem()[1].close()
        _workers[task.digest] = AssignmentWorker(task)
    return _workers[task.digest]


def warm_up(task: Task) -> None:
    """Prepare the grader for the first submission; errors are those of :class:`.Grader`."""
    with _at_work:
        _ = _worker(task).grader


def grade(task: Task, submitted: SubmittedFile, known: GradebookRow | None = None) -> WorkerResult:
    """Grade one submission of an assignment: always a report with an outcome, never an exception.

    With ``known``, the gradebook's row of the notebook before it is graded, the feedback page is rendered too.
    """
    if submitted.fault:
        return without_score(task.name, submitted.student, *submitted.fault)
    with _at_work:
        # a process that hangs ends itself, and another one is started
        faulthandler.dump_traceback_later(task.patience, exit=True)
        try:
            return _graded(task, submitted, known)
        finally:
            faulthandler.cancel_dump_traceback_later()


def _graded(task: Task, submitted: SubmittedFile, known: GradebookRow | None) -> WorkerResult:
    message = ""
    # if the warm process ends, try once with a new one
    for _ in range(2):
        worker = _worker(task)
        try:
            return worker.grade(submitted, known)
        except SubmissionError as error:
            return without_score(task.name, submitted.student, "unreadable", str(error))
        except SandboxError as error:
            worker.close()
            message = without_paths(str(error))
        except TextLimitError as error:
            # the limit may have cut a message of the warm process in two
            worker.close()
            return without_score(task.name, submitted.student, "not-graded", str(error))
        except HandgradError as error:
            return without_score(task.name, submitted.student, "not-graded", str(error))
        except Exception as error:
            message = without_paths(f"the grader itself failed: {type(error).__name__}: {error}")
            break
    return without_score(task.name, submitted.student, "not-graded", message)


def feedback(task: Task, student: str, notebook: str, row: GradebookRow | None, solutions: bool = False) -> str:
    """A student's feedback page, with the ``solutions`` or without; empty for a submission that is not graded."""
    if row is None:
        return ""
    with _at_work, limited(task.text_seconds, may_kill=True):
        return _worker(task).steps.feedback(notebook, student, row, solutions=solutions)
