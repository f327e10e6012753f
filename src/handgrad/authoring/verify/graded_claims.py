"""What a warm grader makes of the release, the worked solution and the known mistakes of an exercise."""

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
    """The released stubs that do not count as missing."""
    report = grader.grade(Submission.of(released, grader.exercise)).report
    return [
        Fault(
            file,
            f"the released {check.gradient} is {check.outcome}, not missing",
            "release it with nothing in its stub",
        )
        for check in report.checks
        if check.outcome != "missing"
    ]


def faults_of_outcomes(report: Report, file: str, way: str) -> Iterator[Fault]:
    """The worked solutions that do not get full marks in a report; ``way`` is the command that gave it."""
    for check in report.checks:
        if check.outcome != "passed":
            yield Fault(file, f"the worked solution of {check.gradient} is {check.outcome} ({way})", _why(check))


def _why(verdict: Verdict) -> str:
    """What a verdict says, or what can always be done."""
    return verdict.sentence.rstrip(".") or "mend the solution, or its check"


def faults_of_case(
    case: Case, grader: Grader, released: NotebookNode, solved: NotebookNode, folder: str
) -> Iterator[Fault]:
    """What of a known mistake is not as its file says."""
    try:
        notebook = parse_notebook(case.content(released, solved), case.name)
        report = grader.grade(Submission.of(notebook, grader.exercise)).report
    except SubmissionError as error:
        if case.report == "graded":
            yield Fault(folder, f"it is not graded: {error}", 'write report = "unreadable" in it, or fix its cells')
        return
    if case.report != "graded":
        yield Fault(folder, f"it is graded, though its file says {case.report}", "fix report in the case")
        return
    yield from _differences(case, report, grader.exercise, folder)


def _differences(case: Case, report: Report, exercise: Exercise, folder: str) -> Iterator[Fault]:
    expected = case.expected(exercise)
    for check in report.checks:
        found = check.diagnosis.mistake if check.diagnosis else "none"
        wanted = case.diagnoses.get(check.gradient)
        if check.outcome != expected[check.gradient]:
            what = f"{check.gradient} is {check.outcome}, not {expected[check.gradient]}"
            yield Fault(folder, what, "fix the cell or [outcomes] in the case")
        elif wanted and found != wanted:
            what = f"the diagnosis of {check.gradient} is {found}, not {wanted}"
            yield Fault(folder, what, "fix the cell or [diagnoses] in the case")
    if abs(report.score - case.score) > 1e-9:
        yield Fault(folder, f"it gets {report.score:g} points, not {case.score:g}", "fix score in the case")
