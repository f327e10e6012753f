"""Known mistakes and unusual right styles: each is graded as its file says. Attacks are graded in tests/end_to_end."""

import functools
from collections.abc import Callable, Iterator, Sequence

import pytest

from handgrad.authoring.cases import Case, read_cases
from handgrad.grading.grader import Grader
from handgrad.notebook.reading import read_notebook
from handgrad.report.records import Report
from handgrad.submission.submission import Submission
from helpers.exercises import EXERCISES, few_are_fast, grade, warm_graders
from helpers.mistakes_page import PAGE, page
from helpers.paths import ASSIGNMENTS, ATTACKS, MISTAKES, ROOT, mistake
from helpers.warm_grader import warm_grader

KNOWN, HOSTILE = read_cases(MISTAKES), read_cases(ATTACKS)


@pytest.fixture(scope="module")
def graders() -> Iterator[Callable[[str], Grader]]:
    """One warm grader for all cases of an exercise."""
    with warm_graders() as graders:
        yield graders


@pytest.fixture(scope="module")
def report_on(graders: Callable[[str], Grader]) -> Callable[[Case], Report]:
    """Grade a known mistake, once."""
    cases = {case.name: case for case in KNOWN}

    @functools.cache
    def report(name: str) -> Report:
        return grade(cases[name], graders(cases[name].assignment))

    return lambda case: report(case.name)


def _summary(report: Report) -> dict[str, str]:
    return {verdict.gradient: verdict.outcome for verdict in report.checks}


@pytest.mark.parametrize("case", few_are_fast(KNOWN, lambda case: case.assignment), ids=lambda case: case.name)
def test_case(case: Case, report_on: Callable[[Case], Report]) -> None:
    """A case gets the score, the outcomes and the diagnoses that its file names. A right style, and a trained value,
    gets no other diagnosis.
    """
    exercise, report = EXERCISES[case.assignment], report_on(case)
    assert _summary(report) == case.expected(exercise), [v.message for v in report.checks if v.message]
    assert report.score == pytest.approx(case.score)
    verdicts = {verdict.gradient: verdict for verdict in report.checks}
    found = {name: verdicts[name].diagnosis for name in case.diagnoses}
    assert {name: diagnosis.mistake if diagnosis else None for name, diagnosis in found.items()} == case.diagnoses
    if (report.passed and not case.diagnoses) or exercise.values:
        assert {
            name: verdict.diagnosis.mistake for name, verdict in verdicts.items() if verdict.diagnosis
        } == case.diagnoses


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("errors-entry-by-entry", 145323451490382),
        pytest.param("zero-keys-of-the-packed-bias", 201, marks=pytest.mark.slow),
        pytest.param("difference-of-one-side", 145323451490382, marks=pytest.mark.slow),
    ],
)
def test_another_seed(name: str, seed: int) -> None:
    """What a course finds does not depend on the hidden seed that it has drawn, as it did for these."""
    _assert_as_its_file_says([mistake(name)], seed)


@pytest.mark.proof
@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_other_seeds(assignment: str) -> None:
    """Nor does it for any case of an exercise."""
    for seed in (101, 102, 103):
        _assert_as_its_file_says([case for case in KNOWN if case.assignment == assignment], seed)


def _assert_as_its_file_says(cases: Sequence[Case], seed: int) -> None:
    exercise = EXERCISES[cases[0].assignment]
    with warm_grader(exercise, [seed]) as grader:
        for case in cases:
            report = grade(case, grader)
            assert _summary(report) == case.expected(exercise), (case.name, seed)
            found = {verdict.gradient: verdict.diagnosis and verdict.diagnosis.mistake for verdict in report.checks}
            assert {name: found[name] for name in case.diagnoses} == case.diagnoses, (case.name, seed)


@pytest.mark.slow
def test_the_page_is_up_to_date(report_on: Callable[[Case], Report]) -> None:
    """docs/reference/mistakes.md is what the catalogue and the cases give."""
    assert PAGE.read_text(encoding="utf-8") == page(report_on)


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


@pytest.mark.parametrize("assignment", few_are_fast(ASSIGNMENTS))
def test_solution_and_release(assignment: str, graders: Callable[[str], Grader]) -> None:
    """Of what is committed, the worked solution has full marks, and in the release every stub is missing."""
    exercise, grader = EXERCISES[assignment], graders(assignment)
    for kind, outcome in (("solutions", "passed"), ("release", "missing")):
        notebook = read_notebook(ROOT / kind / assignment / f"{assignment}.ipynb")
        report = grader.grade(Submission.of(notebook, exercise)).report
        assert _summary(report) == dict.fromkeys((check.gradient for check in exercise.checks), outcome)
        assert (report.score == report.max_score) == (kind == "solutions")


@pytest.mark.parametrize(
    ("name", "gradient", "is_summed"),
    [
        ("no-keepdim", "dbnbias", True),
        pytest.param("channel-left-dimages", "dimages", False, marks=pytest.mark.slow),
    ],
)
def test_a_shape_and_keepdim(report_on: Callable[[Case], Report], name: str, gradient: str, is_summed: bool) -> None:
    """Keepdim is spoken of where the tensor was broadcast, so that its gradient is summed, and only there."""
    verdict = report_on(mistake(name)).verdicts()[f"check_{gradient}"]
    assert ("keepdim" in verdict.sentence) == is_summed
    assert ("from the right" in verdict.sentence) != is_summed
