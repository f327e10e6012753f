"""Give the points of a gradient that was held for manual review."""

import fnmatch
from collections.abc import Sequence

from handgrad.course.commands.grade_class import alone, stored_reports
from handgrad.course.course import Course
from handgrad.course.nbgrader.manual_scores import give_all_points
from handgrad.errors import CourseError, closest
from handgrad.report.names import shown
from handgrad.report.records import NEEDS_REVIEW, Report, Verdict

__all__ = ["accept"]


def accept(course: Course, assignment: str, gradient: str, students: Sequence[str]) -> list[str]:
    """Give all points of a gradient to students for whom it was held, as a manual score in the gradebook.

    Parameters
    ----------
    students
        Names or globs. A name must be that of a student for whom the gradient is held; of those that a glob matches,
        the others are left out.

    Returns
    -------
    list
        The students who have the points now, by name.

    Raises
    ------
    CourseError
        There is no such assignment, gradient or student, it is held for none of them, it has a manual score already,
        another process is grading, or the gradebook cannot be written. Nothing is changed then.
    """
    exercise = course.exercise(assignment)
    check = next((check for check in exercise.checks if check.gradient == gradient), None)
    if check is None:
        names = [check.gradient for check in exercise.checks]
        raise CourseError(f"{assignment} has no gradient {gradient!r}.{closest(gradient, names)}")
    reports = {report.student: report for report in stored_reports(course, assignment)}
    if not reports:
        raise CourseError(f"no submission of {assignment} has been graded: run `handgrad grade {assignment}` first.")
    chosen: list[str] = []
    for pattern in students:
        matching = sorted(name for name in reports if name == pattern or fnmatch.fnmatchcase(name, pattern))
        held = [name for name in matching if _of(reports[name], gradient).outcome in NEEDS_REVIEW]
        if not matching:
            raise CourseError(f"nobody who was graded in {assignment} is called {shown(pattern)}.")
        if not held:
            outcome = _of(reports[matching[0]], gradient).outcome
            raise CourseError(
                f"{gradient} of {shown(matching[0])} is not held for review: its outcome is {outcome}."
                if len(matching) == 1
                else f"{gradient} is not held for review in any of the {len(matching)} submissions of {shown(pattern)}."
            )
        chosen += held
    chosen = sorted(set(chosen))
    with alone(course):
        give_all_points(course, assignment, check.id, chosen)
    return chosen


def _of(report: Report, gradient: str) -> Verdict:
    """The verdict on a gradient; for a report without one, a verdict that nothing was found."""
    found = (verdict for verdict in report.checks if verdict.gradient == gradient)
    return next(found, Verdict("", gradient, "missing", 0.0, 0.0))
