"""Everything that a course holds of one student: to give it another name, or to delete it."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from nbgrader.api import Gradebook, MissingEntry, SubmittedAssignment
from nbgrader.apps.zipcollectapp import ZipCollectApp

from handgrad.course.course import Course
from handgrad.course.nbgrader.collecting import Collector
from handgrad.course.nbgrader.connection import address
from handgrad.course.nbgrader.database import at_work
from handgrad.course.nbgrader.folders import Folders
from handgrad.course.nbgrader.owners import owner
from handgrad.course.nbgrader.roster import people
from handgrad.course.report_store import ReportStore
from handgrad.errors import CourseError

__all__ = ["delete_student", "files_of", "join", "rename", "under_another_name"]


def under_another_name(course: Course) -> dict[str, str]:
    """The names in the gradebook that are other names of students of the roster: for each that student."""
    students = people(course)
    names = {name: students.student(name) for name in students.roster}
    return {name: student for name, student in names.items() if student != name}


def join(course: Course, store: ReportStore) -> None:
    """Move what the gradebook has under other names of students to the students; see :func:`rename`."""
    for name, student in under_another_name(course).items():
        rename(course, store, name, student)


def rename(course: Course, store: ReportStore, old: str, new: str) -> None:
    """Move what was graded under the name ``old`` to the student ``new``, assignment by assignment.

    What the student has by the name ``new`` already stays, and so does then what is there by the name ``old``.

    Raises
    ------
    CourseError
        The gradebook, the stored reports or a folder cannot be written.
    """
    store.rename(old, new)
    for assignment in course.assignments():
        folders = Folders(course, assignment)
        for path_of in (folders.autograded, folders.feedback):
            before, after = path_of(old).parent, path_of(new).parent
            try:
                if before.is_dir() and not after.exists():
                    after.parent.mkdir(parents=True, exist_ok=True)
                    before.rename(after)
            except OSError as error:
                raise CourseError(f"{before} cannot be renamed to {after}: {error.strerror}.") from error
    # the gradebook last: its old name is what tells that something is left to be moved
    with at_work(), closing(Gradebook(*address(course))) as gradebook:
        student = gradebook.update_or_create_student(new)
        for submission in list(gradebook.find_student(old).submissions):
            if _give_way(gradebook, submission, new):
                submission.student = student
        gradebook.db.commit()
        if not gradebook.find_student(old).submissions:
            gradebook.remove_student(old)


def _give_way(gradebook: Gradebook, submission: SubmittedAssignment, new: str) -> bool:
    """Whether the student ``new`` has no score of this assignment; an extension without one goes to the submission."""
    assignment = submission.assignment.name
    try:
        theirs = gradebook.find_submission(assignment, new)
    except MissingEntry:
        return True
    grades = [grade for notebook in theirs.notebooks for grade in notebook.grades]
    if any(grade.auto_score is not None or grade.manual_score is not None for grade in grades):
        return False
    submission.extension = submission.extension or theirs.extension
    gradebook.remove_submission(assignment, new)
    return True


def files_of(course: Course, names: set[str]) -> tuple[list[Path], list[Path]]:
    """The folders and files of the student with these ``names``, and the downloaded archives, which may hold more."""
    folders = [
        course.folder(kind) / name
        for kind in ("submitted", "autograded", "feedback")
        for name in sorted(names)
        if (course.folder(kind) / name).is_dir()
    ]
    app, patterns = ZipCollectApp(config=course.config), Collector(config=course.config).patterns
    downloaded = course.root / app.downloaded_directory
    extracted = [path for path in _files(downloaded) if _is_theirs(path.relative_to(downloaded), names, patterns)]
    return [*folders, *extracted], [path for path in _files(downloaded) if path.suffix.lower() == ".zip"]


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _is_theirs(path: Path, names: set[str], patterns: list[str]) -> bool:
    match = owner(path.as_posix(), patterns)
    return match is not None and match["student_id"] in names


@at_work()
def delete_student(course: Course, store: ReportStore, names: set[str]) -> list[Path]:
    """Delete a student, by all their names, from the gradebook, the stored reports and the folders; what was deleted.

    Raises
    ------
    CourseError
        The gradebook, the stored reports or a folder cannot be written.
    """
    paths, _ = files_of(course, names)
    with Gradebook(*address(course)) as gradebook:
        for student in [student for student in gradebook.students if student.id in names]:
            gradebook.remove_student(student.id)
    for name in names:
        store.delete(name)
    for path in paths:
        try:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        except OSError as error:
            raise CourseError(f"{error.filename or path} cannot be deleted: {error.strerror}. Run it again.") from error
    return paths
