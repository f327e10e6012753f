"""What a worker gets and returns, as plain data: an assignment, a submission, a result. Does not import torch."""

import hashlib
import json
import pickle
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import nbformat
from traitlets.config import Config

from handgrad import __version__
from handgrad.course.course import Course
from handgrad.exercise.exercise import Exercise
from handgrad.grading.code_digest import bytes_digest, code_digest
from handgrad.grading.passes import ATTEMPTS
from handgrad.grading.settings import GradingSettings
from handgrad.notebook.text_limits import TEXT_SECONDS
from handgrad.report.records import Report, ReportOutcome
from handgrad.student import installation

if TYPE_CHECKING:
    from handgrad.course.nbgrader.notebook_steps import GradebookRow

__all__ = ["ANOTHER", "POINTS", "Grounds", "SubmittedFile", "Task", "WorkerResult", "without_score"]


CODE_FILE = "code.json"
"""The file in a course's private folder that remembers the digest of the grader's code."""


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
    text_seconds
        Seconds of processor time that a worker may take for the text of one submission.
    """

    name: str
    files: Mapping[str, bytes] = field(repr=False)
    seeds: tuple[int, ...] = field(repr=False)
    config: Config = field(repr=False)
    settings: GradingSettings = field(repr=False)
    patience: float = field(default=3600.0, repr=False)
    text_seconds: float = field(default=TEXT_SECONDS, repr=False)

    @classmethod
    def of(cls, course: Course, exercise: Exercise, *, dry_run: bool = False) -> "Task":
        """The task of grading an exercise of a course; errors are those of :meth:`Course.seeds` and its settings."""
        files = {
            str(path.relative_to(exercise.directory)): path.read_bytes()
            for path in sorted(exercise.directory.rglob("*"))
            if path.is_file() and not IGNORED.intersection(path.parts)
        }
        seeds, settings = tuple(course.seeds(keep=not dry_run)), course.settings
        limits = settings.limits.with_visible(exercise.training.seconds)
        hidden = (len(seeds) + len(settings.sizes) + len(exercise.training.sizes)) * (3 + len(exercise.training.hidden))
        in_all = (limits.visible_seconds or limits.cell_seconds) + hidden * limits.cell_seconds
        longest = limits.submission_seconds + ATTEMPTS * in_all
        # a cell that waits in the queue for a processor may take four times its time
        patience = 60 + 4 * longest
        return cls(exercise.name, files, seeds, _portable(course.config), settings, patience)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all of it: a worker keeps what it has made of a task while this is the same."""
        # without the memory addresses of functions
        config = re.sub(r" at 0x[0-9a-f]+", "", repr(_portable(self.config)))
        content = (__version__, self.name, sorted(self.files.items()), self.seeds, config)
        return hashlib.sha256(repr(content).encode()).hexdigest()

    def source(self) -> nbformat.NotebookNode:
        """The instructor's notebook."""
        return nbformat.reads(self.files[f"{self.name}.ipynb"].decode("utf-8"), as_version=4)


def _code_digest(course: Course, *, keep: bool) -> str:
    """:func:`.code_digest`, from the course's private folder if it was computed for these files; there it is kept."""
    found = course.kept(CODE_FILE, bytes_digest())
    if found is None:
        found = code_digest()
        if keep:
            course.keep(CODE_FILE, bytes_digest(), found)
    return str(found)


@dataclass(frozen=True)
class Grounds:
    """What a report depends on, except the submission: digests, and the version of torch.

    Attributes
    ----------
    exercise, files, points
        The code of the exercise's cells; the other files of its folder; the points of its checks.
    seeds, settings, steps
        The hidden seeds; the settings ``c.Handgrad`` that decide a mark; nbgrader's steps of ``autograde``.
    code, torch
        The grader: handgrad's own code, and torch.
    """

    exercise: str
    files: str
    seeds: str
    settings: str
    steps: str
    code: str
    torch: str
    points: str

    @classmethod
    def of(cls, course: Course, exercise: Exercise, task: Task, *, dry_run: bool = False) -> Self:
        """The grounds of the reports on a task, which is that of grading an exercise of a course."""
        others = sorted((name, data) for name, data in task.files.items() if name != f"{task.name}.ipynb")
        return cls(
            exercise=exercise.graded_digest,
            files=_digest(others),
            seeds=_digest(task.seeds),
            # whether a submission is run at all decides no mark
            settings=_digest(replace(task.settings, trust=False, isolation="best")),
            steps=_digest(_steps(task.config)),
            code=_code_digest(course, keep=not dry_run),
            torch=installation.installed("torch").partition("+")[0],
            points=_digest(tuple((check.id, check.points) for check in exercise.checks)),
        )

    def state(self, submitted: str) -> str:
        """The text that is stored with a report; ``submitted`` is the digest of the submission."""
        return json.dumps({"schema": 1, "submitted": submitted, **asdict(self)})

    def why_changed(self, state: str, submitted: Callable[[], str]) -> str:
        """Why a report that was stored with ``state`` no longer holds, as a clause; empty if it does.

        ``submitted`` gives the digest of the submission, which is read last.
        """
        try:
            stored = json.loads(state)
            before = Grounds(**{part.name: stored[part.name] for part in fields(Grounds)})
        except (ValueError, KeyError, TypeError):
            # three digests, of version 0.1.0
            return "the grader has changed: it was graded by an older version of handgrad"
        changed = {part.name for part in fields(Grounds) if getattr(self, part.name) != getattr(before, part.name)}
        if "torch" in changed:
            return f"the grader has changed: torch {before.torch} -> {self.torch}"
        if "code" in changed:
            return "the grader has changed: handgrad's grading code"
        if parts := [name for part, name in PARTS.items() if part in changed]:
            return f"{' and '.join(parts)} {'has' if parts == [PARTS['exercise']] else 'have'} changed"
        if submitted() != stored.get("submitted"):
            return ANOTHER
        return POINTS if changed else ""


PARTS = {
    "exercise": "the exercise",
    "files": "the exercise's files",
    "seeds": "the hidden seeds",
    "settings": "the settings of grading",
    "steps": "the steps of autograde",
}
"""What an instructor can change so that submissions must be run again, by the field of :class:`Grounds`."""
POINTS = "the points of the checks have changed"
"""The only reason to grade again for which nothing is run."""
ANOTHER = "another notebook was handed in"
IGNORED = {"__pycache__", ".ipynb_checkpoints"}
"""Folders that programs make beside a notebook that is opened."""


def _digest(content: Any) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest()


def _steps(config: Config) -> list[str]:
    """The configured steps of ``autograde`` by name, handgrad's own without their modules; empty if none are."""
    section, names = config.get("Autograde", {}), []
    for kind in ("sanitize_preprocessors", "autograde_preprocessors"):
        for step in section.get(kind, ()):
            path = step if isinstance(step, str) else f"{step.__module__}.{step.__qualname__}"
            names.append(path.rpartition(".")[2] if path.startswith(("handgrad.", "nbgrader.")) else path)
    return names


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
        """SHA-256 over all of it but the path and the date, which decides a penalty and no mark."""
        facts = (self.note, self.fault, len(self.content))
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
