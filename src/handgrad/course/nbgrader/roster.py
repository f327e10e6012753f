"""The people of a course: nbgrader's roster, with ``students.csv`` and the worksheets of Moodle beside the archives."""

import csv
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from nbgrader.api import Student, SubmittedAssignment
from nbgrader.apps.zipcollectapp import ZipCollectApp
from sqlalchemy import select

from handgrad.course.course import Course
from handgrad.course.nbgrader.database import read
from handgrad.course.people import FILE, LARGEST, People, RosterEntry, read_lines

__all__ = ["archives", "people"]

_PARTICIPANT = re.compile(r"\D+(\d+)")
"""Moodle's name for a participant in its worksheet, such as ``Participant 1234567``, in any language."""
_IDENTIFYING = ("id number", "username", "email address")
"""Columns of a worksheet that tell who a participant is; in any language a cell with an @ does."""
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


def _participants(course: Course, assignment: str) -> dict[str, tuple[str, ...]]:
    """Moodle's participants in an assignment by number, with what its grading worksheet says of who they are."""
    folder = archives(course, assignment)
    found: dict[str, tuple[str, ...]] = {}
    for path in sorted((*folder.parent.glob("*.csv"), *folder.glob("*.csv"))):
        # a file that is no worksheet is no reason to stop
        with suppress(OSError, ValueError, csv.Error):
            found.update(_rows(path))
    return found


def _rows(path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    if path.stat().st_size > LARGEST:
        return
    text = path.read_text(encoding="utf-8-sig")
    for row in csv.DictReader(text.splitlines(), delimiter=";" if ";" in text.partition("\n")[0] else ","):
        cells = [(str(title).casefold(), value.strip()) for title, value in row.items() if isinstance(value, str)]
        if cells and (number := _PARTICIPANT.fullmatch(cells[0][1])):
            yield (
                number[1],
                tuple(value for title, value in cells[1:] if value and (title in _IDENTIFYING or "@" in value)),
            )
