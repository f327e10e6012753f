"""What a worker does: one submission in, everything that is kept of it out.

A worker may be any process on any machine: it reads no course folder and opens no database. What it has to know of an
assignment travels with each submission, as plain data; its warm grader is made from that once.
"""

import copy
import faulthandler
import hashlib
import pickle
import re
import tempfile
import threading
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from multiprocessing.util import Finalize
from pathlib import Path

import nbformat
import torch
from traitlets.config import Config

from handgrad import __version__, notebooks
from handgrad.answers import ATTEMPTS
from handgrad.course import Course
from handgrad.errors import HandgradError, SandboxError, SubmissionError
from handgrad.exercise import Exercise
from handgrad.grade import Grader
from handgrad.nbgrader.pages import Facts, Pages
from handgrad.nbgrader.preprocessors import comments
from handgrad.report import Report, ReportOutcome
from handgrad.store import Record, record_key
from handgrad.submission import Submission, parse_notebook

__all__ = ["Handed", "Marked", "Task", "feedback", "grade", "warm_up", "without_score"]


@dataclass(frozen=True)
class Task:
    """All that a worker has to know of an assignment.

    Attributes
    ----------
    name
        Name of the assignment and of its notebook.
    files
        The files of its source folder, by their names; the instructor's notebook is one of them.
    seeds
        The course's hidden seeds.
    config
        The course's configuration.
    patience
        Seconds after which a worker cannot still be at work on one submission.
    asks
        A digest of what the exercise's cells say, whatever their points.
    """

    name: str
    files: Mapping[str, bytes] = field(repr=False)
    seeds: tuple[int, ...] = field(repr=False)
    config: Config = field(repr=False)
    patience: float = field(default=3600.0, repr=False)
    asks: str = field(default="", repr=False)

    @classmethod
    def of(cls, course: Course, exercise: Exercise) -> "Task":
        """The task of grading an exercise of a course.

        Raises
        ------
        CourseError
            The course's settings or seeds are not what they should be.
        """
        files = {
            str(path.relative_to(exercise.directory)): path.read_bytes()
            for path in sorted(exercise.directory.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        }
        seeds, settings = tuple(course.seeds()), course.settings
        limits = settings.limits().with_visible(exercise.training.seconds)
        hidden = (len(seeds) + len(settings.sizes)) * (3 + len(exercise.training.hidden))
        in_all = (limits.visible_seconds or limits.cell_seconds) + hidden * limits.cell_seconds
        longest = limits.submission_seconds + ATTEMPTS * in_all
        # a cell that stands in the queue for a processor may take four times its time
        return cls(exercise.name, files, seeds, _portable(course.config), 60 + 4 * longest, exercise.asks)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything that a report depends on beside the submission."""
        content = (__version__, self.name, sorted(self.files.items()), self.seeds, _said(self.config))
        return hashlib.sha256(repr(content).encode()).hexdigest()

    @cached_property
    def answers_digest(self) -> str:
        """The same over what the answers depend on: neither points nor what the marking policy says."""
        config = copy.deepcopy(self.config)
        for name in MARKING:
            config.Handgrad.pop(name, None)
        files = {name: data for name, data in self.files.items() if name != f"{self.name}.ipynb"}
        content = (__version__, self.name, self.asks, sorted(files.items()), self.seeds, _said(config))
        return hashlib.sha256(repr(content).encode()).hexdigest()

    def source(self) -> nbformat.NotebookNode:
        """The instructor's notebook."""
        return nbformat.reads(self.files[f"{self.name}.ipynb"].decode("utf-8"), as_version=4)


MARKING = ("partial_shape", "partial_invisible", "tolerance")
"""What of ``c.Handgrad`` decides on marks only, never on answers."""


def _said(config: Config) -> str:
    """What a configuration says: where a function of it lies in memory is no part of that."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(_portable(config)))


def _portable(config: Config) -> Config:
    """What of a configuration can go to another process: not a function that was written in its file.

    Sections without a setting are left out: they come into being when somebody looks for one.
    """
    kept = Config()
    for name, value in sorted(config.items()):
        if isinstance(value, Config):
            if section := _portable(value):
                kept[name] = section
        else:
            with suppress(Exception):
                pickle.loads(pickle.dumps(value))
                kept[name] = value
    return kept


@dataclass(frozen=True)
class Handed:
    """A submission as it was handed in.

    Attributes
    ----------
    student
        Whose it is.
    where
        Path of the file, for a person.
    content
        Its bytes.
    timestamp
        When, in UTC, where that is known.
    note
        What the report says about how it was found; empty where there is nothing to say.
    fault
        Why there is nothing to grade: the report's outcome and message; None where there is.
    """

    student: str
    where: str
    content: bytes = field(default=b"", repr=False)
    timestamp: datetime | None = None
    note: str = ""
    fault: tuple[ReportOutcome, str] | None = None


@dataclass(frozen=True)
class Marked:
    """What is kept of a submission: the report and, where it was graded, all that stands behind it.

    Attributes
    ----------
    notebook
        The autograded notebook, as the text of its file.
    comments
        The comment on each solution cell; None where there is nothing to say.
    key, record
        The answers and comparisons behind the report.
    """

    report: Report
    notebook: str = field(default="", repr=False)
    comments: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    key: str = ""
    record: Record | None = field(default=None, repr=False)


class Desk:
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
            self._grader = self._open.enter_context(course.grader(exercise, self.task.seeds))
        return self._grader

    def close(self) -> None:
        """End the warm processes."""
        self._grader = None
        self._open.close()

    def mark(self, handed: Handed) -> Marked:
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
        record = Record.of(graded, self.sent)
        self.sent.update(record.answers)
        key = record_key(grader.exercise, grader.passes, submission)
        return Marked(report, notebooks.text_of(page), said, key, record)


_at_work = threading.Lock()
"""A grader does one thing at a time, whatever the threads of its process."""
_desks: dict[str, Desk] = {}


def _desk(task: Task) -> Desk:
    """The process's desk for ``task``; the one for another task is closed."""
    if task.digest not in _desks:
        torch.set_num_threads(1)
        while _desks:
            _desks.popitem()[1].close()
        _desks[task.digest] = Desk(task)
    return _desks[task.digest]


def warm_up(task: Task) -> None:
    """Get everything ready for the first submission.

    Raises
    ------
    HandgradError
        The exercise cannot be graded here.
    """
    with _at_work:
        _ = _desk(task).grader


def grade(task: Task, handed: Handed) -> Marked:
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


def _marked(task: Task, handed: Handed) -> Marked:
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


def without_score(assignment: str, student: str, outcome: ReportOutcome, message: str) -> Marked:
    """The report of a submission that is not graded, and why."""
    return Marked(Report(assignment, assignment, outcome, __version__, student=student, message=message))


def feedback(task: Task, student: str, notebook: str, facts: Facts | None, solutions: bool = False) -> str:
    """A student's feedback page, with worked ``solutions`` or without; empty for a submission that is not graded."""
    if facts is None:
        return ""
    with _at_work:
        return _desk(task).pages.feedback(notebook, student, facts, solutions=solutions)
