"""What the gradebook and the stored reports say of a class, for other tools."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from handgrad import scores
from handgrad.batch import stored_reports
from handgrad.course import Course, write_text
from handgrad.errors import CourseError
from handgrad.render.export import EXPORTS, Row

__all__ = ["export", "rows"]


def export(course: Course, assignment: str, form: str, output: Path | None = None) -> str:
    """The scores of a class as text in one of :data:`handgrad.render.export.EXPORTS`; written to ``output`` if given.

    Raises
    ------
    CourseError
        There is no such assignment, nothing was graded, or the file cannot be written.
    """
    exercise = course.exercise(assignment)
    found = rows(course, assignment)
    if not found:
        raise CourseError(f"nothing of {assignment} was graded yet: run `handgrad grade {assignment}` first.")
    text = EXPORTS[form](found, assignment, sum(check.points for check in exercise.checks))
    if output:
        write_text(output, text)
    return text


def rows(course: Course, assignment: str) -> list[Row]:
    """Every student of whom a report or a gradebook's score is known, by name."""
    reports = {report.student: report for report in stored_reports(course, assignment)}
    known = {row.student: row for row in _graded(course, assignment)}
    alone = (Row(name, report) for name, report in reports.items() if name not in known)
    both = (replace(row, report=reports.get(name)) for name, row in known.items())
    return sorted([*alone, *both], key=lambda one: one.student)


def _graded(course: Course, assignment: str) -> list[Row]:
    """What the gradebook says of the notebook of every student who has a score."""
    order = {check.gradient: place for place, check in enumerate(course.exercise(assignment).checks)}
    grades: defaultdict[str, dict[str, tuple[float, float]]] = defaultdict(dict)
    known: dict[str, Row] = {}
    for one in scores.graded(course, assignment):
        grades[one.student][one.cell.removeprefix("check_")] = one.score, one.points
        needs_person = one.waiting or (one.student in known and known[one.student].needs_person)
        known[one.student] = Row(
            one.student,
            first_name=one.first_name,
            last_name=one.last_name,
            email=one.email,
            lms_user_id=one.lms_user_id,
            penalty=one.penalty,
            needs_person=needs_person,
        )
    return [
        replace(row, grades=dict(sorted(grades[name].items(), key=lambda item: order.get(item[0], len(order)))))
        for name, row in known.items()
    ]
