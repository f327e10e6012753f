"""Every shipped exercise, the known cases graded on it, and one warm grader for each."""

import copy
import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import pytest
from _pytest.mark import ParameterSet
from nbformat import NotebookNode

from handgrad.authoring.cases import Case
from handgrad.exercise.exercise import Exercise, grade_id, kind_of
from handgrad.exercise.solution_marks import without_marks
from handgrad.grading.grader import Grader
from handgrad.grading.settings import GradingSettings
from handgrad.notebook.reading import read_notebook
from handgrad.report.records import Report
from handgrad.sandbox.isolation.limits import Limits
from handgrad.submission.submission import Submission
from helpers import shortened
from helpers.paths import ASSIGNMENTS, ROOT
from helpers.warm_grader import warm_grader

T = TypeVar("T")
SEED = 271828
EXERCISES = {
    name: shortened.exercise(name)
    if name in shortened.CHANGES
    else Exercise.read(ROOT / "source" / name / f"{name}.ipynb")
    for name in ASSIGNMENTS
}
WITH_GRADIENTS = [name for name, exercise in EXERCISES.items() if exercise.tensors]
"""The exercises that ask for gradients; the others ask for values alone."""
FEW = ("attention", "backprop", "operations", "optimizers")
"""Exercises of each kind. What is asked of each exercise, `make test` asks of these, and `make test-all` of all."""


def few_are_fast(cases: Iterable[T], assignment: Callable[[T], str] = str) -> list[T | ParameterSet]:
    """The cases as parameters: those of other exercises than the FEW are slow tests."""
    return [case if assignment(case) in FEW else pytest.param(case, marks=pytest.mark.slow) for case in cases]


def _solution(name: str) -> NotebookNode:
    """The instructor's notebook without nbgrader's marks in the stubs."""
    if name in shortened.CHANGES:
        return shortened.solved(name)
    notebook = read_notebook(ROOT / "source" / name / f"{name}.ipynb")
    for cell in notebook.cells:
        if kind_of(cell) == "stub":
            cell.source = without_marks(cell.source)
    return notebook


def released(solution: NotebookNode) -> NotebookNode:
    """A solution with empty stubs."""
    notebook = copy.deepcopy(solution)
    for cell in notebook.cells:
        if kind_of(cell) == "stub":
            cell.source = f"{grade_id(cell)} = None  # your code here"
    return notebook


SOLUTIONS = {name: _solution(name) for name in ASSIGNMENTS}
RELEASES = {name: released(solution) for name, solution in SOLUTIONS.items()}


@contextmanager
def warm_graders() -> Iterator[Callable[[str], Grader]]:
    """One warm grader for all cases of an exercise; three seconds are plenty for a cell, on a busy machine too."""
    with ExitStack() as stack:

        @functools.cache
        def grader(assignment: str) -> Grader:
            return stack.enter_context(
                warm_grader(EXERCISES[assignment], [SEED], settings=GradingSettings(limits=Limits(cell_seconds=3.0)))
            )

        yield grader


def grade(case: Case, grader: Grader) -> Report:
    """The report on what a case hands in."""
    notebook = case.notebook(RELEASES[case.assignment], SOLUTIONS[case.assignment])
    return grader.grade(Submission.of(notebook, grader.exercise)).report
