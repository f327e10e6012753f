"""Where the processor time of one submission goes, phase by phase: a right one, one mistake, half of them wrong.

One worker grades the submissions in this process, and its functions are timed; a phase has the time of its functions
without that of the phases inside. The processes of the sandbox are timed from outside.
"""

import functools
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.courses import ASSIGNMENT, NOBODY, students
from benchmarks.figures import Figure
from benchmarks.mistakes import kinds, with_cells
from benchmarks.processes import children, processor_seconds
from benchmarks.running import BenchmarkFailed
from benchmarks.ways import Bench, alone
from handgrad.course.commands.grade_class import ClassGrading
from handgrad.course.course import Course
from handgrad.course.nbgrader.notebook_steps import NotebookSteps
from handgrad.course.workers import worker
from handgrad.course.workers.task import SubmittedFile, WorkerResult
from handgrad.grading import grader
from handgrad.grading.gradient_checks import GradientChecks
from handgrad.grading.plain_checks import PlainChecks
from handgrad.grading.redrawn_gradients import Redrawing
from handgrad.grading.value_checks import ValueChecks
from handgrad.notebook import tidying
from handgrad.sandbox.sandbox import Sandbox
from handgrad.submission.submission import Submission

COUNT = 60
"""Submissions of each kind."""
READ, CODE, FORK, PASSES, MARK, DIAGNOSE, WRITE, PAGE = (
    "read the notebook and align its cells",
    "analyse the code of the answers",
    "start the child, and end it",
    "send cells and references, receive answers",
    "compare and mark",
    "diagnose what is wrong",
    "the autograded notebook",
    "the feedback page",
)
REST = "everything else of the worker"
CHILDREN = "the sandbox: fork, isolation, the cells in all passes"
WRITER = "the writer: gradebook, report store, files"
FUNCTIONS: Sequence[tuple[Any, str, str]] = (
    (worker, "parse_notebook", READ),
    (Submission, "of", READ),
    (PlainChecks, "cells", CODE),
    (PlainChecks, "for_submission", CODE),
    (GradientChecks, "begin", CODE),
    (grader, "find_forbidden", CODE),
    (Sandbox, "child", FORK),
    (grader, "run_passes", PASSES),
    (GradientChecks, "evidence", MARK),
    (GradientChecks, "verdict", DIAGNOSE),
    (ValueChecks, "evidence", MARK),
    (grader.Grader, "_is_needed", MARK),
    (grader.Grader, "_held", MARK),
    (grader.Grader, "_with_note", DIAGNOSE),
    (Redrawing, "diagnoses", DIAGNOSE),
    (NotebookSteps, "autograded", WRITE),
    (tidying, "text_of", WRITE),
    (worker, "comments", WRITE),
    (NotebookSteps, "feedback", PAGE),
)
"""The functions of each phase, with their owners."""


class Stopwatch:
    """Processor milliseconds of this process by phase; a phase inside another one is not counted twice."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._inside: list[str] = [REST]
        self._since = time.process_time()

    def _turn(self) -> None:
        now = time.process_time()
        self.spent[self._inside[-1]] = self.spent.get(self._inside[-1], 0.0) + 1e3 * (now - self._since)
        self._since = now

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """What runs in the block is of the phase ``name``."""
        self._turn()
        self._inside.append(name)
        try:
            yield
        finally:
            self._turn()
            self._inside.pop()

    def timed(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """The ``function``, timed."""

        @functools.wraps(function)
        def call(*arguments: Any, **more: Any) -> Any:
            with self.phase(name):
                return function(*arguments, **more)

        return call


@contextmanager
def watched() -> Iterator[Stopwatch]:
    """Time the :data:`FUNCTIONS` in the block."""
    stopwatch = Stopwatch()
    with ExitStack() as stack:
        for owner, name, phase in FUNCTIONS:
            stack.enter_context(patch.object(owner, name, stopwatch.timed(getattr(owner, name), phase)))
        yield stopwatch


def sandbox_time() -> float:
    """Processor milliseconds of the processes that this one has started, and of those that they have waited for."""
    return 1e3 * sum(map(processor_seconds, children(os.getpid())))


def measure(bench: Bench, cells: Callable[[int], Mapping[str, str]], count: int) -> dict[str, float]:
    """Processor milliseconds of each phase of one submission, the mean of ``count``."""
    place = bench.courses.ours
    place.reset(bench.courses.solved, count)
    with ClassGrading(Course.at(place.root), ASSIGNMENT) as grading:
        grading.plan()
        files = []
        for number, student in enumerate(students(count)):
            text = with_cells(bench.courses.solved, cells(number)).replace(NOBODY, student)
            files.append(SubmittedFile(student, f"{ASSIGNMENT}.ipynb", text.encode()))
        _graded(grading, files[:5])
        before = sandbox_time()
        with watched() as stopwatch:
            results = _graded(grading, files)
        spent = stopwatch.spent | {CHILDREN: sandbox_time() - before}
        begin = time.process_time()
        for file, result in zip(files, results, strict=True):
            grading._keep(file, result)  # what the command does with a result
        spent[WRITER] = 1e3 * (time.process_time() - begin)
    return {phase: milliseconds / count for phase, milliseconds in spent.items()}


def _graded(grading: ClassGrading, files: Sequence[SubmittedFile]) -> list[WorkerResult]:
    results = []
    for file in files:
        results.append(worker.grade(grading.task, file, grading.gradebook.known(file.student, None)))
        if results[-1].report.outcome != "graded":
            raise BenchmarkFailed(f"a submission was not graded: {results[-1].report.message}")
    return results


def figures(bench: Bench) -> list[Figure]:
    """The time of each phase, for each kind of submission; these have no goals."""
    torch.set_num_threads(1)
    found: dict[str, dict[str, float]] = {}
    for kind, cells in kinds(bench).items():
        found[kind] = measure(bench, cells, COUNT)
        bench.say(f"{kind}: {sum(found[kind].values()):.1f} ms")
    phases = (READ, CODE, FORK, PASSES, MARK, DIAGNOSE, WRITE, PAGE, REST, CHILDREN, WRITER)
    return [
        Figure(
            f"phase: {phase}",
            None,
            [found["right"].get(phase, 0.0)],
            "; ".join(f"{kind}: {spent.get(phase, 0.0):.1f} ms" for kind, spent in found.items()),
            "{:.1f} ms",
        )
        for phase in phases
    ]


if __name__ == "__main__":
    sys.exit(alone(__doc__ or "", figures))
