"""Write into the gradebook who is enrolled, and who has more time."""

from collections.abc import Mapping
from datetime import timedelta

import nbformat
from nbgrader.api import Assignment, MissingEntry, SubmittedAssignment
from sqlalchemy import select

from handgrad.course.course import Course
from handgrad.course.nbgrader.database import opened, read
from handgrad.course.nbgrader.gradebook import GradebookWriter
from handgrad.course.people import RosterEntry
from handgrad.errors import CourseError

__all__ = ["extensions", "give_extension", "write_roster"]

_EXTENSIONS = (
    select(SubmittedAssignment.student_id, Assignment.name, SubmittedAssignment.extension)
    .join(Assignment, Assignment.id == SubmittedAssignment.assignment_id)
    .where(SubmittedAssignment.extension.is_not(None))
)


def write_roster(course: Course, entries: Mapping[str, RosterEntry]) -> tuple[int, int]:
    """Add students to the gradebook's roster, or change what it knows of them; how many are new, and how many changed.

    Empty fields change nothing.

    Raises
    ------
    CourseError
        The gradebook cannot be read or written.
    """
    new = changed = 0
    with opened(course) as gradebook:
        known = {student.id: student for student in gradebook.students}
        for student, entry in entries.items():
            told = {name: value for name, value in vars(entry).items() if value}
            new += student not in known
            if student in known and all(getattr(known[student], name) == value for name, value in told.items()):
                continue
            changed += student in known
            gradebook.update_or_create_student(student, **told)
    return new, changed


def extensions(course: Course) -> dict[str, dict[str, timedelta]]:
    """The extensions of a course: by student, by assignment."""
    (rows,) = read(course, _EXTENSIONS)
    found: dict[str, dict[str, timedelta]] = {}
    for student, assignment, extension in rows:
        found.setdefault(student, {})[assignment] = extension
    return found


def give_extension(course: Course, assignment: str, student: str, days: float) -> bool:
    """Give a student so many days after the due date, in place of an earlier extension; whether there is a due date.

    Raises
    ------
    CourseError
        There is no such assignment, or the gradebook cannot be read or written.
    """
    with GradebookWriter(course, assignment) as writer:
        course.exercise(assignment)
        writer.register(nbformat.read(course.exercise_path(assignment), as_version=4))
    with opened(course) as gradebook:
        try:
            gradebook.update_or_create_student(student)
            gradebook.update_or_create_submission(assignment, student)
            gradebook.grant_extension(assignment, student, days=days)
            return gradebook.find_assignment(assignment).duedate is not None
        except MissingEntry as error:
            raise CourseError(f"nbgrader's gradebook lacks a row: {error}.") from error
