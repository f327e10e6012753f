"""Preview of an exercise before its release: what a student sees after the first *Run All*."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from handgrad.authoring.verify.claims import faults_of_cells, open_answers
from handgrad.authoring.verify.dry_run import dry_run_of
from handgrad.course.course import Course
from handgrad.course.files import write_text
from handgrad.course.nbgrader.student_page import student_page

__all__ = ["Preview", "preview"]


@dataclass(frozen=True)
class Preview:
    """The page of a preview, the exercise's stubs and points, and what is missing in it, a phrase each."""

    page: Path
    stubs: int
    points: float
    missing: tuple[str, ...]


def preview(course: Course, assignment: str, page: Path | None = None) -> Preview:
    """Release an assignment in a temporary folder, run it there, and write it to ``page``; the course is not changed.

    By default the page is a file in a new temporary folder.

    Raises
    ------
    CourseError
        The course has no such assignment, or nbgrader cannot release it, or it cannot be run.
    ExerciseError
        It is not an exercise.
    """
    exercise = course.exercise(assignment)
    with dry_run_of(course, assignment) as dry_run:
        html, stopped = student_page(dry_run.staging, dry_run.path("release"), assignment)
    page = page or Path(mkdtemp(prefix="handgrad-")) / f"{assignment}.html"
    write_text(page, html)
    unwritten = open_answers(exercise)
    missing = [f"{fault.what} ({fault.remedy})" for fault in faults_of_cells(exercise, assignment)]
    missing += [f"without a solution: {', '.join(unwritten)}"] if unwritten else []
    missing += [stopped] if stopped else []
    return Preview(page, len(exercise.stubs), sum(check.points for check in exercise.checks), tuple(missing))
