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
        Fault(file, f"the released {one.gradient} is {one.outcome}, not missing", "release it with nothing in its stub")
        for one in report.checks
        if one.outcome != "missing"
    ]


def faults_of_outcomes(report: Report, file: str, way: str) -> Iterator[Fault]:
    """The worked solutions that do not get full marks in a report; ``way`` is the command that gave it."""
    for one in report.checks:
        if one.outcome != "passed":
            yield Fault(file, f"the worked solution of {one.gradient} is {one.outcome} ({way})", _why(one))


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
    for one in report.checks:
        found = one.diagnosis.mistake if one.diagnosis else "none"
        wanted = case.diagnoses.get(one.gradient)
        if one.outcome != expected[one.gradient]:
            what = f"{one.gradient} is {one.outcome}, not {expected[one.gradient]}"
            yield Fault(folder, what, "fix the cell or [outcomes] in the case")
        elif wanted and found != wanted:
            what = f"the diagnosis of {one.gradient} is {found}, not {wanted}"
            yield Fault(folder, what, "fix the cell or [diagnoses] in the case")
    if abs(report.score - case.score) > 1e-9:
        yield Fault(folder, f"it gets {report.score:g} points, not {case.score:g}", "fix score in the case")
