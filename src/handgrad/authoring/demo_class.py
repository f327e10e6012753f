"""The sample class: submissions made from the known mistakes, for a first look and for the tests."""

from pathlib import Path

import nbformat

from handgrad.authoring.cases import MISTAKES, known_mistakes
from handgrad.authoring.new_course import course_material
from handgrad.authoring.release import release
from handgrad.course.course import Course
from handgrad.course.files import make_folder, write_text
from handgrad.errors import CourseError, SubmissionError
from handgrad.notebook.untrusted_files import MOST_ENTRIES, read_file, walk

__all__ = ["fill", "only_samples"]


def fill(course: Course, assignment: str) -> list[Path]:
    """Write the sample class into the course's ``submitted/``, unless the assignment has submissions already.

    An assignment that was not released is released first.

    Raises
    ------
    CourseError
        There are no known mistakes, no release or no solutions to make submissions from.
    """
    exercise = course.exercise(assignment)
    if any(course.folder("submitted").glob(f"*/{assignment}")):
        return []
    if not (course.folder("release") / assignment / f"{exercise.name}.ipynb").is_file():
        list(release(course, [assignment]))
    sample = _sample(course, assignment)
    for path, text in sample.items():
        try:
            make_folder(path.parent, shared=course.is_shared)
        except OSError as error:
            raise CourseError(f"{path.parent} cannot be made ({error.strerror}): is it writable?") from error
        write_text(path, text, mode=course.file_mode)
    return list(sample)


def only_samples(course: Course, assignment: str) -> bool:
    """Whether every file that was handed in for the assignment is an unchanged one of the sample class."""
    try:
        sample = _sample(course, assignment)
        submitted = course.folder("submitted")
        entries = list(walk(submitted, submitted))
        files = [
            submitted / entry.path
            for entry in entries
            if entry.kind != "folder" and assignment in entry.path.parts[1:-1]
        ]
        return len(entries) < MOST_ENTRIES and all(
            path in sample and read_file(path, submitted).content == sample[path].encode() for path in files
        )
    except FileNotFoundError:
        return True
    except (CourseError, OSError, SubmissionError):
        return False


def _sample(course: Course, assignment: str) -> dict[Path, str]:
    """The sample class: each submission's path and text."""
    for root in filter(None, (course.root, course_material())):
        cases = [case for case in known_mistakes(root) if case.assignment == assignment]
        if any(case.student for case in cases):
            break
    else:
        raise CourseError(
            f"there is no sample class of {assignment}: no file in {course.root / MISTAKES} has a student and this "
            "assignment. handgrad itself has one of backprop."
        )
    release, solution = (
        _notebook(course.folder(kind) / assignment / f"{assignment}.ipynb") for kind in ("release", "solution")
    )
    return {
        course.folder("submitted") / case.student / assignment / f"{assignment}.ipynb": nbformat.writes(
            case.notebook(release, solution)
        )
        for case in cases
        if case.student
    }


def _notebook(path: Path) -> nbformat.NotebookNode:
    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise CourseError(f"there is no {path}: `handgrad release {path.stem}` writes it.") from None
