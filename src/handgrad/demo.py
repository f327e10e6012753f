"""The sample class: submissions made from the known mistakes, for a first look and for the tests."""

from pathlib import Path

import nbformat

from handgrad.cases import read_cases
from handgrad.course import Course, write_text
from handgrad.errors import CourseError

__all__ = ["fill"]


def fill(course: Course, assignment: str) -> list[Path]:
    """Write the sample class into the course's ``submitted/``, unless the assignment has submissions already.

    Raises
    ------
    CourseError
        The course has no known mistakes, no release or no solutions to make submissions from.
    """
    course.exercise(assignment)
    submitted = course.folder("submitted")
    if any(submitted.glob(f"*/{assignment}")):
        return []
    cases = [case for case in read_cases(course.root / "tests" / "mistakes") if case.assignment == assignment]
    if not any(case.student for case in cases):
        raise CourseError(f"{course.root / 'tests' / 'mistakes'} holds no sample student for {assignment}.")
    release, solution = (
        _notebook(course.folder(kind) / assignment / f"{assignment}.ipynb") for kind in ("release", "solution")
    )
    written = []
    for case in cases:
        if case.student:
            folder = submitted / case.student / assignment
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise CourseError(f"{folder} cannot be made ({error.strerror}): is it writable?") from error
            path = folder / f"{assignment}.ipynb"
            write_text(path, nbformat.writes(case.notebook(release, solution)))
            written.append(path)
    return written


def _notebook(path: Path) -> nbformat.NotebookNode:
    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise CourseError(f"there is no {path}: `make release` writes it.") from None
