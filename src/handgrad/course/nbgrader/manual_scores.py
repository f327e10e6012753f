"""Read and write the manual scores of a cell in nbgrader's gradebook."""

from collections.abc import Collection, Mapping

from nbgrader.api import BaseCell, Grade, MissingEntry, SubmittedAssignment, SubmittedNotebook
from sqlalchemy import bindparam, select

from handgrad.course.course import Course
from handgrad.course.nbgrader.database import opened, read
from handgrad.errors import CourseError

__all__ = ["manual_scores", "set_manual_scores"]

_MANUAL = (
    select(SubmittedAssignment.student_id, Grade.manual_score)
    .join(SubmittedNotebook, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
    .join(Grade, Grade.notebook_id == SubmittedNotebook.id)
    .join(BaseCell, BaseCell.id == Grade.cell_id)
    .where(
        SubmittedAssignment.name == bindparam("assignment"),
        BaseCell.name == bindparam("cell"),
        Grade.manual_score.is_not(None),
    )
)


def manual_scores(course: Course, assignment: str, cell: str) -> dict[str, float]:
    """The manual scores of a graded cell, by student."""
    (rows,) = read(course, _MANUAL, assignment=assignment, cell=cell)
    return dict(rows)


def set_manual_scores(
    course: Course, assignment: str, cell: str, scores: Mapping[str, float | None], waiting: Collection[str] = ()
) -> None:
    """Set the manual score of a graded cell for every student in ``scores`` or, if one fails, for nobody.

    None takes it away: the automatic score counts again. The cells of the students ``waiting`` need manual grading.

    Raises
    ------
    CourseError
        A student has no such cell, or the gradebook cannot be read or written.
    """
    try:
        with opened(course) as gradebook:
            for student, score in scores.items():
                grade = gradebook.find_grade(cell, assignment, assignment, student)
                grade.manual_score, grade.needs_manual_grade = score, student in waiting
            gradebook.db.commit()
    except MissingEntry as error:
        raise CourseError(f"nbgrader's gradebook lacks a row: {error}. Run `handgrad grade {assignment}`.") from error
