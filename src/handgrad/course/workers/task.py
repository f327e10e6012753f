"""What a worker is told of an assignment and of a submission, and what it gives back: plain data, without torch."""

import copy
import hashlib
import pickle
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

import nbformat
from traitlets.config import Config

from handgrad import __version__
from handgrad.course.answer_store import Record
from handgrad.course.course import Course
from handgrad.exercise.exercise import Exercise
from handgrad.grading.passes import ATTEMPTS
from handgrad.report.records import Report, ReportOutcome

__all__ = ["MARKING", "SubmittedFile", "Task", "WorkerResult", "without_score"]


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
class SubmittedFile:
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
class WorkerResult:
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


def without_score(assignment: str, student: str, outcome: ReportOutcome, message: str) -> WorkerResult:
    """The report of a submission that is not graded, and why."""
    return WorkerResult(Report(assignment, assignment, outcome, __version__, student=student, message=message))
