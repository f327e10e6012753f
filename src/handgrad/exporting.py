"""What the gradebook and the stored reports say of a class, for other tools."""

from dataclasses import replace
from pathlib import Path

from nbgrader.api import (
    Assignment,
    Grade,
    Gradebook,
    GradeCell,
    Notebook,
    Student,
    SubmittedAssignment,
    SubmittedNotebook,
)
from sqlalchemy import func, select

from handgrad.batch import stored_reports
from handgrad.course import Course, write_text
from handgrad.errors import CourseError
from handgrad.folders import Folders
from handgrad.gradebook import at_work
from handgrad.render.export import EXPORTS, Entry

__all__ = ["entries", "export"]


def export(course: Course, assignment: str, form: str, output: Path | None = None) -> str:
    """The scores of a class as text in one of :data:`handgrad.render.export.EXPORTS`; written to ``output`` if given.

    Raises
    ------
    CourseError
        There is no such assignment, nothing was graded, or the file cannot be written.
    """
    exercise = course.exercise(assignment)
    found = entries(course, assignment)
    if not found:
        raise CourseError(f"nothing of {assignment} was graded yet: run `handgrad grade {assignment}` first.")
    text = EXPORTS[form](found, assignment, sum(check.points for check in exercise.checks))
    if output:
        write_text(output, text)
    return text


def entries(course: Course, assignment: str) -> list[Entry]:
    """Every student of whom a report or a gradebook's score is known, by name."""
    reports = {report.student: report for report in stored_reports(course, assignment)}
    known = {entry.student: entry for entry in _graded(course, assignment)}
    alone = (Entry(name, report) for name, report in reports.items() if name not in known)
    both = (replace(entry, report=reports.get(name)) for name, entry in known.items())
    return sorted([*alone, *both], key=lambda one: one.student)


@at_work()
def _graded(course: Course, assignment: str) -> list[Entry]:
    """What the gradebook says of the notebook of every student who has a score."""
    score = func.coalesce(Grade.manual_score, Grade.auto_score) + func.coalesce(Grade.extra_credit, 0.0)
    rows = (
        select(Student, GradeCell.name, score, GradeCell.max_score, Grade.needs_manual_grade)
        .add_columns(SubmittedNotebook.late_submission_penalty)
        .join(SubmittedAssignment, SubmittedAssignment.student_id == Student.id)
        .join(SubmittedNotebook, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
        .join(Notebook, Notebook.id == SubmittedNotebook.notebook_id)
        .join(Assignment, Assignment.id == Notebook.assignment_id)
        .join(Grade, Grade.notebook_id == SubmittedNotebook.id)
        .join(GradeCell, GradeCell.id == Grade.cell_id)
        .where(Assignment.name == assignment, Notebook.name == assignment, score.is_not(None))
    )
    found: dict[str, Entry] = {}
    with Gradebook(*Folders(course, assignment).database) as gradebook:
        for student, cell, points, most, needs_person, penalty in gradebook.db.execute(rows):
            before = found.get(student.id) or Entry(
                student.id,
                first_name=student.first_name or "",
                last_name=student.last_name or "",
                email=student.email or "",
                lms_user_id=student.lms_user_id or "",
                penalty=penalty or 0.0,
            )
            grades = {**before.grades, cell.removeprefix("check_"): (points, most)}
            found[student.id] = replace(before, grades=grades, needs_person=before.needs_person or needs_person)
    order = {check.gradient: place for place, check in enumerate(course.exercise(assignment).checks)}
    return [
        replace(one, grades=dict(sorted(one.grades.items(), key=lambda item: order.get(item[0], len(order)))))
        for one in found.values()
    ]
