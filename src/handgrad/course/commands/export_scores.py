"""Export the scores of a class, from the gradebook and the stored reports, for other tools."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from handgrad.course.course import Course
from handgrad.course.files import write_text
from handgrad.course.nbgrader import scores
from handgrad.course.nbgrader.collecting import Service, came_from
from handgrad.course.nbgrader.roster import people
from handgrad.course.nbgrader.student_records import bring_up_to_date
from handgrad.course.people import EXEMPT, WITHDRAWN, RosterEntry
from handgrad.course.report_store import ReportStore
from handgrad.errors import CourseError
from handgrad.exercise.exercise import Exercise
from handgrad.report.class_summary import attention, is_earlier, unreviewed
from handgrad.report.score_export import EXPORTS, ExportRow

__all__ = ["Exported", "export"]


_EARLIER = "the score is from an earlier hand-in"


class Exported(NamedTuple):
    """The text of an export, and whose scores should be looked at.

    Attributes
    ----------
    text
        The export.
    waiting
        The students who have a gradient that waits for manual review.
    earlier
        The students whose score is from an earlier hand-in, since the last one could not be graded.
    """

    text: str
    waiting: list[str]
    earlier: list[str]


def export(
    course: Course, assignment: str, form: str, output: Path | None = None, *, only_final: bool = False
) -> Exported:
    """The scores of a class as text in one of the formats ``EXPORTS``; written to ``output`` if given.

    Parameters
    ----------
    only_final
        Whether the students are left out who have something that waits for manual review.

    Raises
    ------
    CourseError
        There is no such assignment, nothing was graded, Moodle could not assign a score to a student, or the file
        cannot be written.
    """
    exercise = course.exercise(assignment)
    bring_up_to_date(course, assignment)
    rows = _rows(course, exercise)
    if not any(row.report or row.score is not None for row in rows):
        raise CourseError(f"no submission of {assignment} has been graded: run `handgrad grade {assignment}` first.")
    if fault := _fault(rows, assignment, form):
        raise CourseError(fault)
    waiting = [row.student for row in rows if not row.is_final]
    if only_final:
        rows = [row for row in rows if row.is_final]
    # the gradebook also has the cells that a human marks
    most = max(
        (row.entry.max_score for row in rows if row.entry), default=sum(check.points for check in exercise.checks)
    )
    text = EXPORTS[form](rows, assignment, most)
    if output:
        write_text(output, text, mode=course.file_mode)
    return Exported(text, waiting, [row.student for row in rows if row.is_earlier])


def _rows(course: Course, exercise: Exercise) -> list[ExportRow]:
    """A row for every student who has a report or a score or is in the gradebook's roster, by name."""
    assignment = exercise.name
    reports = {report.student: report for report in ReportStore.of(course).reports(assignment)}
    grades = _grades(course, exercise)
    entries = scores.entries(course, assignment)
    students = people(course, assignment)
    roster, store = students.roster, ReportStore.of(course)
    replaced, accepted = store.replaced(assignment), store.accepted(assignment)
    services = came_from(course, assignment)
    # a student's own number goes before another one that students.csv tells
    ordered = sorted(services, key=lambda number: (not students.is_other_name(number), number))
    numbers = {students.who(number, ""): number for number in ordered}
    if students.participants:
        # a group's hand-in is under a number of its own; the worksheet has those of its members
        members = {number: students.who(number, "") for number in students.participants}
        numbers |= {student: number for number, student in members.items()}
        from_moodle: dict[str, Service] = dict.fromkeys(members, "moodle")
        services = from_moodle | services

    def row(name: str) -> ExportRow:
        student, report, entry = roster.get(name, RosterEntry()), reports.get(name), entries.get(name)
        is_held = report is not None and bool(unreviewed(report, entry))
        why = attention(report, entry) if report else ""
        return ExportRow(
            name,
            report,
            **vars(student),
            grades=grades.get(name, {}),
            entry=entry,
            needs_person=bool(why) if report else bool(entry and entry.waiting),
            note="; ".join(filter(None, (why if is_held else "", _EARLIER if is_earlier(report, entry) else ""))),
            is_final=not (entry and entry.waiting) and not is_held,
            service=services.get(numbers.get(name, ""), ""),
            number=numbers.get(name, ""),
            is_exempt=students.status(name, assignment) == EXEMPT,
            earlier=tuple(replaced.get(name, ())),
            accepted=tuple(answer for answer in accepted if answer.student == name),
        )

    # who handed in under another name is exported by the name that counts
    names = {students.student(name) for name in (*reports, *entries, *roster)} - (
        {*students.groups} - students.enrolled
    )
    return [row(name) for name in sorted(names) if students.status(name, assignment) != WITHDRAWN]


def _fault(rows: Sequence[ExportRow], assignment: str, form: str) -> str:
    """Why Moodle could not assign the scores to students, in a sentence; empty if it can."""
    from_moodle = [row for row in rows if row.service == "moodle"]
    if form == "moodle-worksheet" and not from_moodle:
        return (
            f"no Moodle archive names a student of {assignment}: put the collected archive back into the "
            f"archive folder of downloaded/{assignment}, or export with --format moodle."
        )
    lost = [
        row.student
        for row in from_moodle
        if row.score is not None and row.student == row.number and not (row.lms_user_id or row.email)
    ]
    if form == "moodle" and lost:
        return (
            f"Moodle's grade import cannot find {', '.join(lost)}: these are participant numbers of {assignment} "
            "only. Export with --format moodle-worksheet, or give the students an ID number (lms_user_id) or "
            "an e-mail address in the gradebook."
        )
    return ""


def _grades(course: Course, exercise: Exercise) -> dict[str, dict[str, tuple[float, float]]]:
    """For each student with a score: score and points of the gradients in their order."""
    order = {check.gradient: index for index, check in enumerate(exercise.checks)}
    grades: defaultdict[str, dict[str, tuple[float, float]]] = defaultdict(dict)
    for student, cell, score, points in scores.cell_scores(course, exercise.name):
        grades[student][cell.removeprefix("check_")] = score, points
    return {
        name: dict(sorted(scored.items(), key=lambda item: order.get(item[0], len(order))))
        for name, scored in grades.items()
    }
