"""Known mistakes and unusual right styles: each is graded as its file says. Attacks are graded in tests/end_to_end."""

import copy
import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from nbformat import NotebookNode

from handgrad.authoring.cases import Case, read_cases
from handgrad.exercise.exercise import Exercise, grade_id, kind_of
from handgrad.grading.grader import Grader
from handgrad.notebook.reading import read_notebook
from handgrad.report.records import Report
from handgrad.sandbox.isolation.limits import Limits
from handgrad.submission.submission import Submission
from helpers import shortened
from helpers.paths import ASSIGNMENTS, ATTACKS, MISTAKES, ROOT

EXERCISES = {name: Exercise.read(ROOT / "source" / name / f"{name}.ipynb") for name in ASSIGNMENTS}
EXERCISES["training"] = shortened.exercise()
SEED = 271828
KNOWN, HOSTILE = read_cases(MISTAKES), read_cases(ATTACKS)


def _solution(name: str) -> NotebookNode:
    notebook = read_notebook(ROOT / "source" / name / f"{name}.ipynb")
    for cell in notebook.cells:
        if kind_of(cell) == "stub":
            cell.source = "\n".join(line for line in cell.source.splitlines() if not line.startswith("### "))
    return notebook


def _release(solution: NotebookNode) -> NotebookNode:
    notebook = copy.deepcopy(solution)
    for cell in notebook.cells:
        if kind_of(cell) == "stub":
            cell.source = f"{grade_id(cell)} = None  # your code here"
    return notebook


SOLUTIONS = {name: _solution(name) for name in ASSIGNMENTS} | {"training": shortened.solved()}
RELEASES = {name: _release(solution) for name, solution in SOLUTIONS.items()}


@pytest.fixture(scope="module")
def graders() -> Iterator[Callable[[str], Grader]]:
    """One warm grader for all cases of an exercise; six seconds are plenty for a cell, on a busy machine too."""
    with ExitStack() as stack:

        @functools.cache
        def grader(assignment: str) -> Grader:
            return stack.enter_context(Grader(EXERCISES[assignment], [SEED], limits=Limits(cell_seconds=6.0)))

        yield grader


def _summary(report: Report) -> dict[str, str]:
    return {verdict.gradient: verdict.outcome for verdict in report.checks}


@pytest.mark.parametrize("case", KNOWN, ids=lambda case: case.name)
def test_case(case: Case, graders: Callable[[str], Grader]) -> None:
    """A case gets the score, the outcomes and the diagnoses that its file names. A right style, and a trained value,
    gets no other diagnosis.
    """
    exercise, grader = EXERCISES[case.assignment], graders(case.assignment)
    notebook = case.notebook(RELEASES[case.assignment], SOLUTIONS[case.assignment])
    report = grader.grade(Submission.of(notebook, exercise)).report
    assert _summary(report) == case.expected(exercise), [v.message for v in report.checks if v.message]
    assert report.score == pytest.approx(case.score)
    verdicts = {verdict.gradient: verdict for verdict in report.checks}
    found = {name: verdicts[name].diagnosis for name in case.diagnoses}
    assert {name: one.mistake if one else None for name, one in found.items()} == case.diagnoses
    if (report.passed and not case.diagnoses) or exercise.values:
        assert {name: one.diagnosis.mistake for name, one in verdicts.items() if one.diagnosis} == case.diagnoses


def test_score_follows_from_outcomes() -> None:
    """The score of a case is what its outcomes add up to, partial credit being a half."""
    worth = {"passed": 1.0, "partial": 0.5}
    for case in (*KNOWN, *HOSTILE):
        exercise = EXERCISES[case.assignment]
        points = {check.gradient: check.points for check in exercise.checks}
        outcomes = case.expected(exercise)
        total = sum(points[name] * worth.get(outcome, 0.0) for name, outcome in outcomes.items())
        assert case.score == total, case.name


def test_every_exercise_has_cases() -> None:
    """Each exercise has mistakes of its own and right answers in an unusual style, all with names it knows."""
    for assignment, exercise in EXERCISES.items():
        cases = read_cases(MISTAKES, exercise)
        full = sum(check.points for check in exercise.checks)
        assert len([case for case in cases if case.score < full]) >= 6, assignment
        assert len([case for case in cases if case.score == full and case.name.startswith("right-")]) >= 2, assignment


def test_enough_cases() -> None:
    """There are many mistakes, many right answers in an unusual style, and many attacks, all of them on backprop."""
    backprop = EXERCISES["backprop"]
    mistakes = read_cases(MISTAKES, backprop)
    assert len(mistakes) >= 30
    assert len([case for case in mistakes if case.score == 26.0]) >= 14
    assert len(HOSTILE) >= 13
    assert read_cases(ATTACKS, backprop) == HOSTILE
    assert all(not case.student for case in HOSTILE)
    assert all(case.report == "graded" for case in KNOWN)


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_solution_and_release(assignment: str, graders: Callable[[str], Grader]) -> None:
    """Of what is committed, the worked solution has full marks, and in the release every stub is missing."""
    exercise, grader = EXERCISES[assignment], graders(assignment)
    for kind, outcome in (("solutions", "passed"), ("release", "missing")):
        notebook = read_notebook(ROOT / kind / assignment / f"{assignment}.ipynb")
        report = grader.grade(Submission.of(notebook, exercise)).report
        assert _summary(report) == dict.fromkeys((check.gradient for check in exercise.checks), outcome)
        assert (report.score == report.max_score) == (kind == "solutions")
