"""The scores of a class in nbgrader's gradebook, with manual scores and the late penalties that its dates give now.

A database that cannot be read or written, and a course's plugin for late penalties that fails, are a
:class:`.CourseError`. A database that does not exist yet has no rows, and none is made.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from nbgrader.api import (
    Assignment,
    BaseCell,
    Grade,
    GradeCell,
    MissingEntry,
    Notebook,
    SubmittedAssignment,
    SubmittedNotebook,
    TaskCell,
)
from sqlalchemy import Integer, Select, and_, bindparam, cast, func, select, union_all, update

from handgrad.course.course import Course
from handgrad.course.nbgrader.database import connected, opened, read
from handgrad.course.nbgrader.gradebook import CELL_SCORE, PENALTY
from handgrad.course.nbgrader.penalties import LatePenalties, lateness
from handgrad.errors import CourseError
from handgrad.report.records import Report, ScoreEntry

__all__ = [
    "DUEDATE",
    "cell_scores",
    "entries",
    "entries_after",
    "manual_scores",
    "scores_of",
    "set_manual_scores",
    "write_dates",
]


def entries(course: Course, assignment: str, *, as_written: bool = False) -> dict[str, ScoreEntry]:
    """The gradebook's scores of an assignment, by student.

    Late penalties are those that the gradebook's dates give now; with ``as_written`` those that it has.
    """
    points, manual, totals = read(course, _POINTS, _BY_HAND, _TOTALS, assignment=assignment)
    most = _sum(points)
    by_hand: dict[str, list[str]] = defaultdict(list)
    for student, cell, _ in manual:
        by_hand[student].append(cell)
    late, found = LatePenalties(course.config), {}
    for row in totals:
        penalty = row.penalty if as_written else _penalty_now(row, late, {})
        hand = tuple(by_hand[row.student])
        found[row.student] = ScoreEntry(
            row.score, most, penalty or 0.0, hand, bool(row.waiting), is_scored=bool(row.scored)
        )
    return found


def entries_after(
    course: Course,
    assignment: str,
    now: Mapping[str, ScoreEntry],
    reports: Mapping[str, Report],
    dates: Mapping[str, datetime],
    *,
    old_names: Mapping[str, str],
) -> dict[str, ScoreEntry]:
    """The scores as they would be if ``reports`` were written, and ``dates``, when students handed in, in UTC.

    ``now`` are the :func:`entries` as they are written. ``old_names`` are the names by which the gradebook knows
    students, where they are others by now.
    """
    points, totals, automatic, duedates = read(course, _POINTS, _TOTALS, _AUTOMATIC, DUEDATE, assignment=assignment)
    rows = {row.student: row for row in totals}
    old = {(student, cell): score or 0.0 for student, cell, score in automatic}
    most, duedate = _sum(points), next((date for (date,) in duedates), None)
    late, found = LatePenalties(course.config), {}
    for student, report in reports.items():
        name = student if student in rows else old_names.get(student, student)
        entry, row = now.get(name), rows.get(name)
        if report.outcome != "graded":
            if entry:
                found[student] = replace(entry, penalty=_penalty_now(row, late, dates) or 0.0)
            continue
        entry = entry or ScoreEntry(0.0, most or report.max_score)
        given = [verdict for verdict in report.checks if verdict.id not in entry.by_hand]
        score = entry.score + sum(verdict.points - old.get((name, verdict.id), 0.0) for verdict in given)
        handed_in, extension = dates.get(student), None
        if row:
            handed_in, extension = handed_in or row.timestamp, row.extension
        penalty = late.penalty(student, score, lateness(duedate, handed_in, extension))
        found[student] = replace(entry, score=score, penalty=penalty or 0.0, is_scored=True)
    return found


def _sum(points: Sequence[Any]) -> float:
    """The points of an assignment, from the rows of ``_POINTS``."""
    return sum(of_kind or 0.0 for (of_kind,) in points)


def write_dates(course: Course, assignment: str, dates: Mapping[str, datetime] | None = None) -> list[str]:
    """Bring the dates and the late penalties of an assignment up to date, in one transaction; nothing is graded.

    ``dates`` are when students handed in, in UTC, where that is newer than the gradebook. The result are the students
    whose penalty has changed.
    """
    late, changed = LatePenalties(course.config), list[str]()
    values = {"assignment": assignment}
    with connected(course, assignment) as connection:
        if connection is None:
            return []
        if connection.dialect.name == "sqlite":
            # nobody writes between what is read and what is written
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        for row in connection.execute(_TOTALS, values).all():
            handed_in = (dates or {}).get(row.student)
            if handed_in is not None and handed_in != row.timestamp:
                connection.execute(_DATE, {"submission": row.submission, "handed_in": handed_in})
            penalty = _penalty_now(row, late, dates or {})
            if abs((penalty or 0.0) - (row.penalty or 0.0)) > 1e-9:
                connection.execute(PENALTY, {"notebook": row.notebook, "penalty": penalty})
                changed.append(row.student)
        connection.commit()
    return changed


def _penalty_now(row: Any, late: LatePenalties, dates: Mapping[str, datetime]) -> float | None:
    """The late penalty that the dates of a row of ``_TOTALS`` give."""
    handed_in = dates.get(row.student, row.timestamp)
    return late.penalty(row.student, row.score, lateness(row.duedate, handed_in, row.extension))


def cell_scores(course: Course, assignment: str) -> Sequence[tuple[str, str, float, float]]:
    """The graded cells: student, cell, score (the manual one if there is one), points."""
    (rows,) = read(course, _CELLS, assignment=assignment)
    return rows


def manual_scores(course: Course, assignment: str, cell: str) -> dict[str, float]:
    """The manual scores of a graded cell, by student."""
    (rows,) = read(course, _BY_HAND, assignment=assignment)
    return {student: score for student, name, score in rows if name == cell}


def set_manual_scores(
    course: Course, assignment: str, cell: str, scores: Mapping[str, float | None], waiting: Collection[str] = ()
) -> None:
    """Set the manual score of a graded cell for every student in ``scores`` or, if one fails, for nobody.

    None takes it away: the automatic score counts again. The cells of the students ``waiting`` need manual grading. A
    student who has no such cell is a CourseError.
    """
    try:
        with opened(course) as gradebook:
            for student, score in scores.items():
                grade = gradebook.find_grade(cell, assignment, assignment, student)
                grade.manual_score, grade.needs_manual_grade = score, student in waiting
            gradebook.db.commit()
    except MissingEntry as error:
        raise CourseError(f"nbgrader's gradebook lacks a row: {error}. Run `handgrad grade {assignment}`.") from error


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


_CELL = BaseCell.__table__.alias("cell")
"""The cells of an assignment's notebook.

nbgrader's table of grades has an index by cell and notebook, but none by notebook alone: without the cells, a server
that takes the class for a small one would read all grades for each student.
"""


def _graded(*columns: Any) -> Select[Any]:
    """Columns of the grades of an assignment's notebook, for all students."""
    return (
        select(SubmittedAssignment.student_id.label("student"), *columns)
        .join(SubmittedNotebook, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
        .join(Notebook, Notebook.id == SubmittedNotebook.notebook_id)
        .join(Assignment, Assignment.id == Notebook.assignment_id)
        .join(_CELL, _CELL.c.notebook_id == Notebook.id)
        .join(Grade, and_(Grade.notebook_id == SubmittedNotebook.id, Grade.cell_id == _CELL.c.id))
        .where(*_OURS)
    )


_TOTALS = _graded(
    SubmittedAssignment.id.label("submission"),
    SubmittedNotebook.id.label("notebook"),
    SubmittedNotebook.late_submission_penalty.label("penalty"),
    SubmittedAssignment.timestamp,
    SubmittedAssignment.extension,
    Assignment.duedate,
    func.sum(func.coalesce(CELL_SCORE, 0.0)).label("score"),
    func.count(CELL_SCORE).label("scored"),
    func.max(cast(Grade.needs_manual_grade, Integer)).label("waiting"),
).group_by(
    SubmittedAssignment.student_id,
    SubmittedAssignment.id,
    SubmittedNotebook.id,
    SubmittedNotebook.late_submission_penalty,
    SubmittedAssignment.timestamp,
    SubmittedAssignment.extension,
    Assignment.duedate,
)
_DATE = (
    update(SubmittedAssignment)
    .where(SubmittedAssignment.id == bindparam("submission"))
    .values(timestamp=bindparam("handed_in"))
)
_BY_HAND = (
    _graded(BaseCell.name, Grade.manual_score)
    .join(BaseCell, BaseCell.id == Grade.cell_id)
    .where(Grade.manual_score.is_not(None))
    .order_by(BaseCell.name)
)
_AUTOMATIC = _graded(BaseCell.name, Grade.auto_score).join(BaseCell, BaseCell.id == Grade.cell_id)
"""The automatic score of each cell."""
DUEDATE = select(Assignment.duedate).where(Assignment.name == bindparam("assignment"))
"""The due date of an assignment."""
_CELLS = (
    _graded(
        GradeCell.name,
        CELL_SCORE,
        GradeCell.max_score,
    )
    .join(GradeCell, GradeCell.id == Grade.cell_id)
    .where(CELL_SCORE.is_not(None))
)


def scores_of(course: Course, assignment: str) -> dict[str, float]:
    """The score of each student in an assignment, read with nbgrader's own models."""
    with opened(course) as gradebook:
        return {
            submission.student.id: float(submission.score)
            for submission in gradebook.assignment_submissions(assignment)
        }
