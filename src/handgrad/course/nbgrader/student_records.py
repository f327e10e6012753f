"""Everything that a course holds of one student: to give it another name, or to delete it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from nbgrader.api import Gradebook, MissingEntry, SubmittedAssignment
from nbgrader.apps.zipcollectapp import ZipCollectApp

from handgrad.course.course import Course
from handgrad.course.files import make_folder
from handgrad.course.nbgrader.collecting import Collector, flat
from handgrad.course.nbgrader.database import address, is_own, opened
from handgrad.course.nbgrader.folders import Folders
from handgrad.course.nbgrader.owners import owner
from handgrad.course.nbgrader.roster import people
from handgrad.course.report_store import ReportStore
from handgrad.errors import CourseError

__all__ = ["delete_student", "files_of", "join", "rename", "under_another_name"]


def under_another_name(course: Course, store: ReportStore) -> dict[str, str]:
    """The names in the gradebook or the stored reports that are other names of students: for each that student."""
    students = people(course)
    names = {name: students.student(name) for name in students.roster.keys() | store.students()}
    return {name: student for name, student in names.items() if student != name and student in students.roster}


def join(course: Course, store: ReportStore) -> None:
    """Move what there is under other names of students to the students; see :func:`rename`."""
    for name, student in sorted(under_another_name(course, store).items()):
        rename(course, store, name, student)


def rename(course: Course, store: ReportStore, old: str, new: str) -> None:
    """Move what was graded under the name ``old`` to the student ``new``, assignment by assignment.

    An assignment in which both have a score stays as it is. Other courses in the same database do too.

    Raises
    ------
    CourseError
        The gradebook, the stored reports or a folder cannot be written.
    """
    with opened(course) as gradebook:
        there = _submissions(course, gradebook, old)
        taken = {name for name in there if _is_scored(_submissions(course, gradebook, new).get(name))}
        assignments = [name for name in course.assignments() if name not in taken]
        # the gradebook last: until then its old name tells that something is left to be moved
        store.rename(old, new, assignments)
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


def delete_student(course: Course, store: ReportStore, names: set[str]) -> list[Path]:
    """Delete a student, by all their names, from the folders, the stored reports and the gradebook; what was deleted.

    If it is stopped, it can be run again: the gradebook, which knows the names, comes last. Scores in other courses of
    the same database stay.

    Raises
    ------
    CourseError
        The gradebook, the stored reports or a folder cannot be written.
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
        store.delete(name)
    with opened(course) as gradebook:
        for name in names:
            for assignment in _submissions(course, gradebook, name):
                gradebook.remove_submission(assignment, name)
            _remove_if_empty(gradebook, name)
    return paths
