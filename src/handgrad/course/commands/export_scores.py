"""What the gradebook and the stored reports say of a class, for other tools."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from handgrad.course.commands.grade_class import stored_reports
from handgrad.course.course import Course
from handgrad.course.files import write_text
from handgrad.course.nbgrader import scores
from handgrad.course.nbgrader.collecting import came_from
from handgrad.errors import CourseError
from handgrad.report.class_summary import attention
from handgrad.report.score_export import EXPORTS, ExportRow

__all__ = ["export", "rows"]


def export(course: Course, assignment: str, form: str, output: Path | None = None) -> str:
    """The scores of a class as text in one of the formats ``EXPORTS``; written to ``output`` if given.

    Raises
    ------
    CourseError
        There is no such assignment, nothing was graded, Moodle could not tell whose a score is, or the file cannot be
        written.
    """
    exercise = course.exercise(assignment)
    found = rows(course, assignment)
    if not any(row.report or row.grades for row in found):
        raise CourseError(f"nothing of {assignment} was graded yet: run `handgrad grade {assignment}` first.")
    if fault := _fault(found, assignment, form):
        raise CourseError(fault)
    text = EXPORTS[form](found, assignment, sum(check.points for check in exercise.checks))
    if output:
        write_text(output, text)
    return text


def rows(course: Course, assignment: str) -> list[ExportRow]:
    """Every student of whom a report, a score or a line in the gradebook's roster is known, by name."""
    reports = {report.student: report for report in stored_reports(course, assignment)}
    grades, penalties = _grades(course, assignment)
    entries = scores.entries(course, assignment)
    people = scores.people(course, assignment)
    services = came_from(course.root, course.config, assignment)

    def row(name: str) -> ExportRow:
        who, report, entry = people.get(name, scores.RosterEntry()), reports.get(name), entries.get(name)
        return ExportRow(
            name,
            report,
            **vars(who),
            grades=grades.get(name, {}),
            penalty=penalties.get(name, 0.0),
            needs_person=bool(attention(report, entry)) if report else bool(entry and entry.waiting),
            service=services.get(name, ""),
        )

    return [row(name) for name in sorted({*reports, *grades, *people})]


def _fault(found: Sequence[ExportRow], assignment: str, form: str) -> str:
    """Why Moodle could not tell whose the scores are, in a sentence; empty where it can."""
    theirs = [row for row in found if row.service == "moodle"]
    if form == "moodle-worksheet" and not theirs:
        return (
            f"no archive of Moodle's names a student of {assignment}: put the one that was collected back into the "
            f"archive folder of downloaded/{assignment}, or export with --format moodle."
        )
    lost = [row.student for row in theirs if row.score is not None and not (row.lms_user_id or row.email)]
    if form == "moodle" and lost:
        return (
            f"Moodle's grade import cannot find {', '.join(lost)}: these numbers are the participants' in {assignment} "
            "alone. Export with --format moodle-worksheet, or give the students an ID number (lms_user_id) or "
            "an e-mail address in the gradebook."
        )
    return ""


def _grades(course: Course, assignment: str) -> tuple[dict[str, dict[str, tuple[float, float]]], dict[str, float]]:
    """For each student who has a score: score and points of the gradients in their order, and the late penalty."""
    order = {check.gradient: place for place, check in enumerate(course.exercise(assignment).checks)}
    found: defaultdict[str, dict[str, tuple[float, float]]] = defaultdict(dict)
    penalties: dict[str, float] = {}
    for one in scores.graded(course, assignment):
        found[one.student][one.cell.removeprefix("check_")] = one.score, one.points
        penalties[one.student] = one.penalty
    return {
        name: dict(sorted(grades.items(), key=lambda item: order.get(item[0], len(order))))
        for name, grades in found.items()
    }, penalties
