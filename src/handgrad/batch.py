"""Grade a class: every submission of an assignment, one report each; a fault is one student's fault."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from handgrad import __version__
from handgrad.course import Course, write_text
from handgrad.errors import CourseError, HandgradError, SubmissionError
from handgrad.gradebook import Desk
from handgrad.render import class_page
from handgrad.report import Report, ReportOutcome
from handgrad.store import AnswerStore
from handgrad.submission import Submission, read_notebook

__all__ = ["grade_class", "stored_reports", "write_class_page"]


def grade_class(
    course: Course, assignment: str, students: Sequence[str] = (), *, feedback: bool = True
) -> Iterator[Report]:
    """Grade the submissions of ``assignment`` and give their reports, one by one, as they are done.

    Scores and comments go into the gradebook, notebooks into ``autograded/`` and ``feedback/``, answers and reports
    into the course's store.

    Parameters
    ----------
    students
        Whose submissions; everyone's unless given.
    feedback
        Whether to write the feedback pages.

    Raises
    ------
    CourseError, ExerciseError
        The assignment does not exist or is no exercise: nothing is graded.
    """
    course.exercise(assignment)
    course.seeds()
    desk, store = Desk(course, assignment), AnswerStore(course.workshop / "answers.sqlite")
    desk.register()
    for student in students or desk.students():
        report = _grade_one(course, desk, store, assignment, student)
        if feedback and report.outcome == "graded":
            try:
                desk.feedback(student)
            except HandgradError as error:
                report = replace(report, message=f"It is graded, but has no feedback page: {error}")
                store.put_report(report)
        yield report


def stored_reports(course: Course, assignment: str) -> list[Report]:
    """The reports of the last grading, by student."""
    course.exercise(assignment)
    return AnswerStore(course.workshop / "answers.sqlite").reports(assignment)


def _grade_one(course: Course, desk: Desk, store: AnswerStore, assignment: str, student: str) -> Report:
    def without_score(outcome: ReportOutcome, message: str) -> Report:
        report = Report(assignment, assignment, outcome, __version__, student=student, message=message)
        store.put_report(report)
        return report

    try:
        path = course.submission_path(student, assignment)
    except CourseError as error:
        return without_score("not-graded", str(error))
    if not path.exists():
        return without_score("not-submitted", _not_there(path))
    try:
        # what cannot be graded is found before nbgrader writes a row, whose score would be zero
        Submission.of(read_notebook(path), course.exercise(assignment))
        desk.autograde(student)
    except SubmissionError as error:
        return without_score("unreadable", str(error))
    except HandgradError as error:
        return without_score("not-graded", str(error))
    return next(report for report in store.reports(assignment) if report.student == student)


def _not_there(path: Path) -> str:
    others = sorted(other.name for other in path.parent.iterdir()) if path.parent.is_dir() else []
    return f"There is no {path.name} in the folder, which holds: {', '.join(others)}." if others else ""


def write_class_page(course: Course, assignment: str, reports: Sequence[Report], output: Path | None = None) -> Path:
    """Write the class's page; where it is."""
    path = (output or course.root / "report.html").resolve()
    write_text(path, class_page(reports, assignment))
    return path
