"""The people of a course: nbgrader's roster, with ``students.csv`` and the lists of services beside the archives."""

from pathlib import Path

from nbgrader.api import Grade, Student, SubmittedAssignment, SubmittedNotebook
from nbgrader.apps.zipcollectapp import ZipCollectApp
from sqlalchemy import or_, select, union

from handgrad.course.course import Course
from handgrad.course.nbgrader.database import read
from handgrad.course.people import STUDENTS_FILE, People, RosterEntry, read_lines
from handgrad.course.service_lists import lists_beside

__all__ = ["archives", "people"]

_ROSTER = select(Student.id, Student.first_name, Student.last_name, Student.email, Student.lms_user_id)
_HANDED_IN = union(
    select(SubmittedAssignment.student_id).where(SubmittedAssignment.timestamp.is_not(None)),
    select(SubmittedAssignment.student_id)
    .join(SubmittedNotebook, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
    .join(Grade, Grade.notebook_id == SubmittedNotebook.id)
    .where(or_(Grade.auto_score.is_not(None), Grade.manual_score.is_not(None))),
)
"""Who has handed in something: a submission may be there for an extension only."""


def people(course: Course, assignment: str = "") -> People:
    """The students of a course, with what identifies them in an assignment.

    A gradebook or ``students.csv`` that cannot be read, or a line of it that says what cannot be, is a CourseError.
    """
    roster, handed_in = read(course, _ROSTER, _HANDED_IN)
    lists = lists_beside(archives(course, assignment)) if assignment else {}
    return People(
        {student: RosterEntry(*(text or "" for text in texts)) for student, *texts in roster},
        frozenset(student for (student,) in handed_in),
        tuple(read_lines(course.root / STUDENTS_FILE)),
        {number: found for participants in lists.values() for number, found in participants.items()},
    )


def archives(course: Course, assignment: str) -> Path:
    """The folder of an assignment's downloaded archives, as nbgrader has it."""
    app = ZipCollectApp(config=course.config)
    return course.root / app.collect_directory_structure.format(
        downloaded=app.downloaded_directory, assignment_id=assignment, collect_step=app.archive_directory
    )
