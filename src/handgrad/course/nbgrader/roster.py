"""The people of a course: nbgrader's roster, with ``students.csv`` and the lists of services beside the archives."""

import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from nbgrader.api import Grade, Student, SubmittedAssignment, SubmittedNotebook
from nbgrader.apps.zipcollectapp import ZipCollectApp
from sqlalchemy import or_, select, union

from handgrad.course.course import Course
from handgrad.course.gradescope_metadata import FILE as METADATA
from handgrad.course.gradescope_metadata import parse_metadata
from handgrad.course.moodle_worksheet import parse_worksheet
from handgrad.course.nbgrader.database import read
from handgrad.course.participants import Participant
from handgrad.course.people import LARGEST, STUDENTS_FILE, People, RosterEntry, read_lines
from handgrad.errors import SubmissionError
from handgrad.notebook.untrusted_files import read_file

__all__ = ["archives", "is_list", "people", "worksheets"]

_HANDED_IN_FILE = re.compile(r"_assignsubmission_|_\d+_\d+_|(?:^|/)submission_\d+/")
"""What is in the path of a file that a student handed in, as Moodle, Canvas and Gradescope write it."""
_LEVELS = 3
"""Parts of the longest path of metadata: in the export's folder, in that of the archive's name."""
LARGEST_METADATA = 1 << 27
"""Bytes of the largest ``submission_metadata.yml`` that is read (128 MiB): it has all results of all submissions."""
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

    Raises
    ------
    CourseError
        The gradebook or ``students.csv`` cannot be read, or a line of it says what cannot be.
    """
    roster, handed_in = read(course, _ROSTER, _HANDED_IN)
    return People(
        {student: RosterEntry(*(text or "" for text in texts)) for student, *texts in roster},
        frozenset(student for (student,) in handed_in),
        tuple(read_lines(course.root / STUDENTS_FILE)),
        _participants(course, assignment) if assignment else {},
    )


def archives(course: Course, assignment: str) -> Path:
    """The folder of an assignment's downloaded archives, as nbgrader has it."""
    app = ZipCollectApp(config=course.config)
    return course.root / app.collect_directory_structure.format(
        downloaded=app.downloaded_directory, assignment_id=assignment, collect_step=app.archive_directory
    )


def worksheets(folder: Path) -> dict[str, dict[str, Participant]]:
    """The lists of services beside the archives in ``folder`` or above it, or in them, by where they were found.

    They are Moodle's grading worksheets and Gradescope's metadata. Of each the participants by their numbers. A file
    that a student handed in is none, whatever is in it.
    """
    found = {}
    for path in sorted((*folder.glob("*"), *folder.parent.glob("*"))):
        if path.suffix.lower() == ".csv" and not _HANDED_IN_FILE.search(path.name):
            # what cannot be read is no worksheet
            with suppress(OSError, SubmissionError):
                participants = parse_worksheet(read_file(path, path.parent, LARGEST).content)
                if participants is not None:
                    found[path.name] = participants
    for place, content in _metadata(folder):
        participants = parse_metadata(content)
        if participants is not None:
            found[place] = participants
    return found


def is_list(path: str) -> bool:
    """Whether a file at this path in an archive, or beside it, is Gradescope's metadata, and no student's file."""
    parts = PurePosixPath(path).parts
    return parts[-1:] == (METADATA,) and len(parts) <= _LEVELS and not _HANDED_IN_FILE.search(path)


def _metadata(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The metadata of Gradescope's exports in ``folder``, unpacked or not, and where they are."""
    for path in sorted((*folder.glob(METADATA), *folder.glob(f"*/{METADATA}"))):
        place = path.relative_to(folder).as_posix()
        if is_list(place):
            with suppress(OSError, SubmissionError):
                yield place, read_file(path, folder, LARGEST_METADATA).content
    for path in sorted(folder.glob("*")):
        # what cannot be read is no metadata
        if path.suffix.lower() == ".zip":
            with (
                suppress(OSError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error),
                zipfile.ZipFile(path) as archive,
            ):
                for info in archive.infolist():
                    if is_list(info.filename) and info.file_size <= LARGEST_METADATA:
                        yield f"{path.name}/{info.filename}", archive.read(info)


def _participants(course: Course, assignment: str) -> dict[str, Participant]:
    """The participants in an assignment by number, from the lists of services."""
    found: dict[str, Participant] = {}
    for participants in worksheets(archives(course, assignment)).values():
        found.update(participants)
    return found
