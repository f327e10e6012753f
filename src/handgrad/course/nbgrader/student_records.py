"""Everything that a course holds of a student: to write it, to give it another name, or to delete it.

A gradebook, stored reports or a folder that cannot be read or written are a :class:`.CourseError`.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import nbformat
from nbgrader.api import Assignment, Gradebook, MissingEntry, SubmittedAssignment
from nbgrader.apps.zipcollectapp import ZipCollectApp
from sqlalchemy import select

from handgrad.course.course import Course
from handgrad.course.course_lock import alone
from handgrad.course.files import make_folder
from handgrad.course.nbgrader.collecting import Collector, flat
from handgrad.course.nbgrader.database import address, is_own, opened, read
from handgrad.course.nbgrader.folders import Folders
from handgrad.course.nbgrader.gradebook import GradebookWriter
from handgrad.course.nbgrader.roster import people
from handgrad.course.nbgrader.scores import write_dates
from handgrad.course.nbgrader.unpacking import owner
from handgrad.course.people import RosterEntry
from handgrad.course.report_store import ReportStore
from handgrad.errors import CourseError

__all__ = [
    "bring_up_to_date",
    "delete_student",
    "extensions",
    "files_of",
    "give_extension",
    "join",
    "under_another_name",
    "write_roster",
]


_EXTENSIONS = (
    select(SubmittedAssignment.student_id, Assignment.name, SubmittedAssignment.extension)
    .join(Assignment, Assignment.id == SubmittedAssignment.assignment_id)
    .where(SubmittedAssignment.extension.is_not(None))
)


def write_roster(course: Course, entries: Mapping[str, RosterEntry]) -> tuple[int, int]:
    """Add students to the gradebook's roster, or change what it knows of them; how many are new, and how many changed.

    Empty fields change nothing.
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
    """Give a student so many days after the due date, in place of an earlier extension; whether there is a due date."""
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


def under_another_name(course: Course) -> dict[str, str]:
    """The names in the gradebook or the stored reports that are other names of students: for each that student."""
    students = people(course)
    names = {name: students.student(name) for name in students.roster.keys() | ReportStore.of(course).students()}
    return {name: student for name, student in names.items() if student != name and student in students.roster}


def join(course: Course) -> None:
    """Move what there is under other names of students to the students; see :func:`rename`."""
    for name, student in sorted(under_another_name(course).items()):
        rename(course, name, student)


def bring_up_to_date(course: Course, assignment: str) -> None:
    """Move what is under other names of students to their ids, and write late penalties; nothing is graded."""
    if under_another_name(course):
        with alone(course):
            join(course)
    write_dates(course, assignment)


def rename(course: Course, old: str, new: str) -> None:
    """Move what was graded under the name ``old`` to the student ``new``, assignment by assignment.

    An assignment in which both have a score stays as it is. Other courses in the same database do too.
    """
    with opened(course) as gradebook:
        there = _submissions(course, gradebook, old)
        taken = {name for name in there if _is_scored(_submissions(course, gradebook, new).get(name))}
        assignments = [name for name in course.assignments() if name not in taken]
        # the gradebook last: until then its old name tells that something is left to be moved
        ReportStore.of(course).rename(old, new, assignments)
        for assignment in assignments:
            _rename_folders(Folders(course, assignment), old, new)
        student = gradebook.update_or_create_student(new)
        for name, submission in there.items():
            if name in taken:
                continue
            if without_score := _submissions(course, gradebook, new).get(name):
                # it is there for its extension
                submission.extension = submission.extension or without_score.extension
                gradebook.remove_submission(name, new)
            submission.student = student
        gradebook.db.commit()
        _remove_if_empty(gradebook, old)


def _submissions(course: Course, gradebook: Gradebook, student: str) -> dict[str, SubmittedAssignment]:
    """A student's submissions in this course, by assignment."""
    try:
        found = gradebook.find_student(student).submissions
    except MissingEntry:
        return {}
    ours = address(course)[1]
    everything = is_own(course)
    return {
        submission.assignment.name: submission
        for submission in found
        if everything or submission.assignment.course_id == ours
    }


def _is_scored(submission: SubmittedAssignment | None) -> bool:
    grades = [grade for notebook in submission.notebooks for grade in notebook.grades] if submission else []
    return any(grade.auto_score is not None or grade.manual_score is not None for grade in grades)


def _remove_if_empty(gradebook: Gradebook, student: str) -> None:
    """Take a student off the roster who has no submission in any course."""
    with suppress(MissingEntry):
        if not gradebook.find_student(student).submissions:
            gradebook.remove_student(student)


def _rename_folders(folders: Folders, old: str, new: str) -> None:
    for path_of in (folders.autograded, folders.feedback):
        before, after = path_of(old).parent, path_of(new).parent
        try:
            if before.is_dir() and not after.exists():
                make_folder(after.parent, shared=folders.course.is_shared)
                before.rename(after)
        except OSError as error:
            raise CourseError(f"{before} cannot be renamed to {after}: {error.strerror}.") from error


def files_of(course: Course, names: set[str]) -> tuple[list[Path], list[Path]]:
    """The folders and files of the student with these ``names``, and the downloaded archives, which may hold more."""
    folders = [
        course.folder(kind) / name
        for kind in ("submitted", "autograded", "feedback")
        for name in sorted(names)
        if os.path.lexists(course.folder(kind) / name) and (course.folder(kind) / name).parent == course.folder(kind)
    ]
    downloaded = course.root / ZipCollectApp(config=course.config).downloaded_directory
    extracted = [path for folder in sorted(downloaded.glob("*")) for path in _theirs(course, folder, names)]
    return [*folders, *extracted], [path for path in _files(downloaded) if path.suffix.lower() == ".zip"]


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _theirs(course: Course, folder: Path, names: set[str]) -> Iterator[Path]:
    """The files of the student in the downloaded ``folder`` of an assignment, under the name or a service's number."""
    known, patterns = people(course, folder.name), Collector(config=course.config).patterns
    for path in _files(folder):
        # without the folder of the step: archive, or extracted
        place = path.relative_to(folder).as_posix().partition("/")[2]
        match = owner(place, patterns) or owner(place, [flat({folder.name})])
        if match and {match["student_id"], known.who(match["student_id"], match.groupdict().get("name") or "")} & names:
            yield path


def delete_student(course: Course, names: set[str]) -> list[Path]:
    """Delete a student, by all their names, from the folders, the stored reports and the gradebook; what was deleted.

    If it is stopped, it can be run again: the gradebook, which knows the names, comes last. Scores in other courses of
    the same database stay.
    """
    paths, _ = files_of(course, names)
    for path in paths:
        try:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        except OSError as error:
            raise CourseError(
                f"{error.filename or path} cannot be deleted ({error.strerror or error}): delete it and run this again."
            ) from error
    for name in names:
        ReportStore.of(course).delete(name)
    with opened(course) as gradebook:
        for name in names:
            for assignment in _submissions(course, gradebook, name):
                gradebook.remove_submission(assignment, name)
            _remove_if_empty(gradebook, name)
    return paths
