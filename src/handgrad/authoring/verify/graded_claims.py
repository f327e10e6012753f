"""Claims checked by grading the release, the worked solution and the known mistakes of an exercise."""

from collections.abc import Iterator

from nbformat import NotebookNode

from handgrad.authoring.cases import Case
from handgrad.authoring.verify.results import Fault
from handgrad.errors import SubmissionError
from handgrad.exercise.exercise import Exercise
from handgrad.grading.grader import Grader
from handgrad.notebook.reading import parse_notebook
from handgrad.report.records import Report, Verdict
from handgrad.submission.submission import Submission

__all__ = ["faults_of_case", "faults_of_outcomes", "faults_of_release"]


def faults_of_release(grader: Grader, released: NotebookNode, file: str) -> list[Fault]:
    """The released stubs that do not get the outcome ``missing``."""
    report = grader.grade(Submission.of(released, grader.exercise)).report
    return [
        Fault(
            file,
            f"the released {check.gradient} is {check.outcome}, not missing",
            "release it with an empty stub",
        )
        for check in report.checks
        if check.outcome != "missing"
    ]


def faults_of_outcomes(report: Report, file: str, command: str) -> Iterator[Fault]:
    """The worked solutions that do not pass in the report of ``command``."""
    for check in report.checks:
        if check.outcome != "passed":
            yield Fault(file, f"the worked solution of {check.gradient} is {check.outcome} ({command})", _why(check))


def _why(verdict: Verdict) -> str:
    """The sentence of a verdict, or a general remedy."""
    return verdict.sentence.rstrip(".") or "fix the solution or its check"


def faults_of_case(
    case: Case, grader: Grader, released: NotebookNode, solved: NotebookNode, folder: str
) -> Iterator[Fault]:
    """The differences between a known mistake's report and its file."""
    try:
        notebook = parse_notebook(case.content(released, solved), case.name)
        report = grader.grade(Submission.of(notebook, grader.exercise)).report
    except SubmissionError as error:
        if case.report == "graded":
            yield Fault(folder, f"it is not graded: {error}", 'write report = "unreadable" in it, or fix its cells')
        return
    if case.report != "graded":
        yield Fault(folder, f"it is graded, but its file expects {case.report}", "fix report in the case")
        return
    yield from _differences(case, report, grader.exercise, folder)


def _differences(case: Case, report: Report, exercise: Exercise, folder: str) -> Iterator[Fault]:
    expected = case.expected(exercise)
    for check in report.checks:
        mistake = check.diagnosis.mistake if check.diagnosis else "none"
        expected_mistake = case.diagnoses.get(check.gradient)
        if check.outcome != expected[check.gradient]:
            what = f"{check.gradient} is {check.outcome}, not {expected[check.gradient]}"
            yield Fault(folder, what, "fix the cell or [outcomes] in the case")
        elif expected_mistake and mistake != expected_mistake:
            what = f"the diagnosis of {check.gradient} is {mistake}, not {expected_mistake}"
            yield Fault(folder, what, "fix the cell or [diagnoses] in the case")
    if abs(report.score - case.score) > 1e-9:
        yield Fault(folder, f"it gets {report.score:g} points, not {case.score:g}", "fix score in the case")
