"""The people of a course: nbgrader's roster, with ``students.csv`` and the worksheets of Moodle beside the archives."""

from contextlib import suppress
from pathlib import Path

from nbgrader.api import Student, SubmittedAssignment
from nbgrader.apps.zipcollectapp import ZipCollectApp
from sqlalchemy import select

from handgrad.course.course import Course
from handgrad.course.moodle_worksheet import Participant, parse_worksheet
from handgrad.course.nbgrader.connection import read
from handgrad.course.people import FILE, LARGEST, People, RosterEntry, read_lines

__all__ = ["archives", "people"]

_ROSTER = select(Student.id, Student.first_name, Student.last_name, Student.email, Student.lms_user_id)
_HANDED_IN = select(SubmittedAssignment.student_id).distinct()


def people(course: Course, assignment: str = "") -> People:
    """The students of a course, with what identifies them in an assignment.

    Raises
    ------
    CourseError
        The gradebook or ``students.csv`` cannot be read, or a line of it says what cannot be.
    """
    roster, handed_in = read(course, _ROSTER, _HANDED_IN)
    return People(
        {student: RosterEntry(*(text or "" for text in texts)) for student, *texts in roster},
        frozenset(student for (student,) in handed_in),
        tuple(read_lines(course.root / FILE)),
        _participants(course, assignment) if assignment else {},
    )


def archives(course: Course, assignment: str) -> Path:
    """The folder of an assignment's downloaded archives, as nbgrader has it."""
    app = ZipCollectApp(config=course.config)
    return course.root / app.collect_directory_structure.format(
        downloaded=app.downloaded_directory, assignment_id=assignment, collect_step=app.archive_directory
    )


def _participants(course: Course, assignment: str) -> dict[str, Participant]:
    """Moodle's participants in an assignment by number, from the grading worksheets beside its archive or above it."""
    folder = archives(course, assignment)
    found: dict[str, Participant] = {}
    for path in sorted((*folder.parent.glob("*.csv"), *folder.glob("*.csv"))):
        # a file that cannot be read is no worksheet
        with suppress(OSError):
            if path.stat().st_size <= LARGEST:
                found.update(parse_worksheet(path.read_bytes()) or {})
    return found
