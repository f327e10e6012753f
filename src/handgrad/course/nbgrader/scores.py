"""Read the scores of a class from nbgrader's gradebook, with manual scores and late penalties.

A database that cannot be read is a :class:`.CourseError`; one that does not exist yet has no rows, and none is made.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbgrader.api import (
    Assignment,
    BaseCell,
    Grade,
    Gradebook,
    GradeCell,
    Notebook,
    Student,
    SubmittedAssignment,
    SubmittedNotebook,
    TaskCell,
)
from sqlalchemy import Executable, Integer, Select, bindparam, cast, create_engine, func, select, union_all
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError

from handgrad.course.course import Course
from handgrad.course.nbgrader.database import at_work, refuse_other_course, wait_for_file
from handgrad.course.nbgrader.folders import Folders
from handgrad.course.nbgrader.gradebook import CELL_SCORE
from handgrad.errors import CourseError
from handgrad.report.records import ScoreEntry

__all__ = ["RosterEntry", "cell_scores", "entries", "roster", "scores_of"]


def entries(course: Course, assignment: str) -> dict[str, ScoreEntry]:
    """The gradebook's scores of an assignment, by student."""
    points, manual, totals = _read(course, assignment, _POINTS, _BY_HAND, _TOTALS)
    most = sum(of_kind or 0.0 for (of_kind,) in points)
    by_hand: dict[str, list[str]] = defaultdict(list)
    for student, cell in manual:
        by_hand[student].append(cell)
    return {
        student: ScoreEntry(score, most, penalty or 0.0, tuple(by_hand[student]), bool(waiting))
        for student, penalty, score, waiting in totals
    }


@dataclass(frozen=True)
class RosterEntry:
    """A student's entry in the gradebook's roster; unknown fields are empty."""

    first_name: str = ""
    last_name: str = ""
    email: str = ""
    lms_user_id: str = ""


def roster(course: Course, assignment: str) -> dict[str, RosterEntry]:
    """The gradebook's roster: every student, whether or not they handed in."""
    (rows,) = _read(course, assignment, _ROSTER)
    return {student: RosterEntry(*(field or "" for field in fields)) for student, *fields in rows}


def cell_scores(course: Course, assignment: str) -> Sequence[tuple[str, str, float, float, float]]:
    """The graded cells: student, cell, score (the manual one if there is one), points, late penalty of the notebook."""
    (rows,) = _read(course, assignment, _CELLS)
    return rows


def _read(course: Course, assignment: str, *statements: Executable) -> list[Sequence[Any]]:
    """The rows of each statement."""
    folders = Folders(course, assignment)
    address, course_id = folders.database
    url = make_url(address)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        return [()] * len(statements)
    if path := folders.gradebook_file:
        wait_for_file(path, course.wait_seconds)
    engine = create_engine(url)
    values = {"assignment": assignment}
    try:
        with engine.connect() as connection:
            refuse_other_course(connection, assignment, course_id, is_own=folders.owns_gradebook)
            return [connection.execute(statement, values).all() for statement in statements]
    except DatabaseError as error:
        raise CourseError(f"nbgrader's gradebook cannot be read ({error.orig}).") from error
    finally:
        engine.dispose()


_OURS = (
    Assignment.name == bindparam("assignment"),
    Notebook.name == bindparam("assignment"),
)
"""The notebook of an assignment that has the assignment's name."""


_POINTS = union_all(
    *(
        select(func.sum(kind.max_score))
        .join(Notebook, Notebook.id == kind.notebook_id)
        .join(Assignment, Assignment.id == Notebook.assignment_id)
        .where(*_OURS)
        for kind in (GradeCell, TaskCell)
    )
)
"""The points of an assignment's cells of each kind."""


def _graded(*columns: Any) -> Select[Any]:
    """Columns of the grades of an assignment's notebook, for all students."""
    return (
        select(SubmittedAssignment.student_id, *columns)
        .join(SubmittedNotebook, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
        .join(Notebook, Notebook.id == SubmittedNotebook.notebook_id)
        .join(Assignment, Assignment.id == Notebook.assignment_id)
        .join(Grade, Grade.notebook_id == SubmittedNotebook.id)
        .where(*_OURS)
    )


_TOTALS = _graded(
    SubmittedNotebook.late_submission_penalty,
    func.sum(func.coalesce(CELL_SCORE, Grade.extra_credit, 0.0)),
    func.max(cast(Grade.needs_manual_grade, Integer)),
).group_by(SubmittedAssignment.student_id, SubmittedNotebook.late_submission_penalty)
_BY_HAND = (
    _graded(BaseCell.name)
    .join(BaseCell, BaseCell.id == Grade.cell_id)
    .where(Grade.manual_score.is_not(None))
    .order_by(BaseCell.name)
)
_ROSTER = select(Student.id, Student.first_name, Student.last_name, Student.email, Student.lms_user_id)
_CELLS = (
    _graded(
        GradeCell.name,
        CELL_SCORE,
        GradeCell.max_score,
        func.coalesce(SubmittedNotebook.late_submission_penalty, 0.0),
    )
    .join(GradeCell, GradeCell.id == Grade.cell_id)
    .where(CELL_SCORE.is_not(None))
)


def scores_of(db_url: str, course_id: str, assignment: str) -> dict[str, float]:
    """The score of each student in an assignment, read with nbgrader's own models."""
    with at_work(), Gradebook(db_url, course_id=course_id) as gradebook:
        return {
            submission.student.id: float(submission.score)
            for submission in gradebook.assignment_submissions(assignment)
        }
