"""What a worker gets and returns, as plain data: an assignment, a submission, a result. Does not import torch."""

import hashlib
import pickle
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

import nbformat
from traitlets.config import Config

from handgrad import __version__
from handgrad.course.course import Course
from handgrad.exercise.exercise import Exercise
from handgrad.grading.passes import ATTEMPTS
from handgrad.grading.settings import GradingSettings
from handgrad.notebook.text_limits import TEXT_SECONDS
from handgrad.report.records import Report, ReportOutcome

if TYPE_CHECKING:
    from handgrad.course.nbgrader.notebook_steps import GradebookRow

__all__ = ["SubmittedFile", "Task", "WorkerResult", "without_score"]


@dataclass(frozen=True)
class Task:
    """Everything that a worker has to know about an assignment.

    Attributes
    ----------
    name, seeds, settings
        Name of the assignment and of its notebook; the course's hidden seeds; how submissions are graded.
    files
        The files of its source folder, by their names; the instructor's notebook is one of them.
    config
        The course's configuration, for nbgrader's steps.
    patience
        Seconds after which a worker on one submission must be hanging.
    content_digest
        A digest of the exercise's cells without their points.
    text_seconds
        Seconds of processor time that a worker may take for the text of one submission.
    """

    name: str
    files: Mapping[str, bytes] = field(repr=False)
    seeds: tuple[int, ...] = field(repr=False)
    config: Config = field(repr=False)
    settings: GradingSettings = field(repr=False)
    patience: float = field(default=3600.0, repr=False)
    content_digest: str = field(default="", repr=False)
    text_seconds: float = field(default=TEXT_SECONDS, repr=False)

    @classmethod
    def of(cls, course: Course, exercise: Exercise, *, dry_run: bool = False) -> "Task":
        """The task of grading an exercise of a course; errors are those of :meth:`Course.seeds` and its settings."""
        files = {
            str(path.relative_to(exercise.directory)): path.read_bytes()
            for path in sorted(exercise.directory.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        }
        seeds, settings = tuple(course.seeds(keep=not dry_run)), course.settings
        limits = settings.limits.with_visible(exercise.training.seconds)
        hidden = (len(seeds) + len(settings.sizes)) * (3 + len(exercise.training.hidden))
        in_all = (limits.visible_seconds or limits.cell_seconds) + hidden * limits.cell_seconds
        longest = limits.submission_seconds + ATTEMPTS * in_all
        # a cell that waits in the queue for a processor may take four times its time
        patience = 60 + 4 * longest
        return cls(exercise.name, files, seeds, _portable(course.config), settings, patience, exercise.content_digest)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything that a report depends on, except the submission."""
        content = (__version__, self.name, sorted(self.files.items()), self.seeds, _text_of(self.config))
        return hashlib.sha256(repr(content).encode()).hexdigest()

    @cached_property
    def digest_without_points(self) -> str:
        """The same over everything but the points of the checks."""
        files = {name: data for name, data in self.files.items() if name != f"{self.name}.ipynb"}
        content = (__version__, self.content_digest, sorted(files.items()), self.seeds, _text_of(self.config))
        return hashlib.sha256(repr(("without points", *content)).encode()).hexdigest()

    def source(self) -> nbformat.NotebookNode:
        """The instructor's notebook."""
        return nbformat.reads(self.files[f"{self.name}.ipynb"].decode("utf-8"), as_version=4)


_MODULES = (
    ("handgrad.course.nbgrader.feedback_exporter.", "handgrad.nbgrader.feedback."),
    ("handgrad.course.nbgrader.", "handgrad.nbgrader."),
    ("RepairIds'", "Mend'"),
)
"""Modules and classes that a configuration names, and their names in 0.1.0: a rename is no reason to grade again."""


def _text_of(config: Config) -> str:
    """A configuration as text, without the memory addresses of functions."""
    kept = _portable(config)
    # how files get into the course says nothing about their marks
    kept.pop("ExchangeFactory", None)
    text = re.sub(r" at 0x[0-9a-f]+", "", repr(kept))
    for now, before in _MODULES:
        text = text.replace(now, before)
    return text


def _portable(config: Config) -> Config:
    """The part of a configuration that can be sent to another process: no functions that are defined in its file.

    Empty sections are left out: traitlets makes them when they are looked up.
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
class SubmittedFile:
    """A submission as it was handed in.

    Attributes
    ----------
    student, content
        Whose it is, and its bytes.
    where
        Path of the file, as messages show it.
    timestamp
        When, in UTC; None if that is not known.
    note
        What the report says about how it was found; empty if there is nothing to say.
    fault
        Why there is nothing to grade: the report's outcome and message; None if there is something.
    """

    student: str
    where: str
    content: bytes = field(default=b"", repr=False)
    timestamp: datetime | None = None
    note: str = ""
    fault: tuple[ReportOutcome, str] | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all of it but the path."""
        facts = (self.timestamp, self.note, self.fault, len(self.content))
        return hashlib.sha256(repr(facts).encode() + self.content).hexdigest()


@dataclass(frozen=True)
class WorkerResult:
    """What is kept of a submission.

    Attributes
    ----------
    report
        The verdicts, or why there are none.
    notebook
        The autograded notebook, as the text of its file; empty if it was not graded.
    comments
        The comment on each solution cell; None if there is nothing to say.
    row
        The gradebook's row that was expected when the page was rendered; None if there is no page.
    page
        The feedback page.
    """

    report: Report
    notebook: str = field(default="", repr=False)
    comments: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    row: "GradebookRow | None" = None
    page: str = field(default="", repr=False)


def without_score(assignment: str, student: str, outcome: ReportOutcome, message: str) -> WorkerResult:
    """The report of a submission that is not graded, and why."""
    return WorkerResult(Report(assignment, assignment, outcome, __version__, student=student, message=message))
