"""SQL statements that read and write nbgrader's gradebook for each submission, built once.

nbgrader's tables have an index by cell and notebook, but none by notebook alone: without the cells in a condition, each
statement would scan the rows of the whole class.
"""

from typing import Any

from nbgrader.api import Comment, Grade, Student, SubmittedAssignment, SubmittedNotebook
from sqlalchemy import and_, bindparam, func, insert, select, update

__all__ = [
    "CELL_SCORE",
    "COMMENT",
    "COMMENTS",
    "FIRST_COMMENT",
    "FIRST_SCORE",
    "PENALISED",
    "PENALTY",
    "SCORE",
    "SCORES",
    "SUBMITTED",
]

_CELLS: Any = bindparam("cells", expanding=True)
CELL_SCORE = func.coalesce(Grade.manual_score, Grade.auto_score) + func.coalesce(Grade.extra_credit, 0.0)
"""The manual score of a cell, or the automatic score if there is none, plus extra credit; NULL without a score."""
SCORES = select(Grade.cell_id, Grade.auto_score, Grade.manual_score, Grade.extra_credit).where(
    Grade.notebook_id == bindparam("notebook"), Grade.cell_id.in_(_CELLS)
)
"""The scores of each cell of a submitted notebook."""
COMMENTS = select(Comment.cell_id, Comment.auto_comment, Comment.manual_comment).where(
    Comment.notebook_id == bindparam("notebook"), Comment.cell_id.in_(_CELLS)
)
"""The comments on each cell of a submitted notebook."""
PENALISED = (
    select(SubmittedNotebook.id, SubmittedNotebook.late_submission_penalty)
    .join(SubmittedAssignment, SubmittedAssignment.id == SubmittedNotebook.assignment_id)
    .where(
        SubmittedAssignment.student_id == bindparam("student"), SubmittedNotebook.notebook_id == bindparam("notebook")
    )
)
"""A student's submitted notebook, and its late penalty."""
SUBMITTED = (
    select(
        SubmittedAssignment.id.label("submission"),
        SubmittedNotebook.notebook_id.label("notebook"),
        SubmittedNotebook.id.label("submitted"),
    )
    .select_from(Student)
    .outerjoin(
        SubmittedAssignment,
        and_(
            SubmittedAssignment.student_id == Student.id, SubmittedAssignment.assignment_id == bindparam("assignment")
        ),
    )
    .outerjoin(
        SubmittedNotebook,
        and_(
            SubmittedNotebook.assignment_id == SubmittedAssignment.id,
            SubmittedNotebook.notebook_id.in_(bindparam("notebooks", expanding=True)),
        ),
    )
    .where(Student.id == bindparam("student"))
)
"""The ids of a student's submission and its notebooks; no row if the gradebook does not know the student."""
FIRST_SCORE = insert(Grade).values(
    id=bindparam("new"),
    cell_id=bindparam("cell"),
    notebook_id=bindparam("notebook"),
    auto_score=bindparam("score"),
    needs_manual_grade=bindparam("manual"),
)
"""The score of a cell of a notebook that is new to the gradebook."""
FIRST_COMMENT = insert(Comment).values(
    id=bindparam("new"), cell_id=bindparam("cell"), notebook_id=bindparam("notebook"), auto_comment=bindparam("text")
)
"""The comment on a cell of a notebook that is new to the gradebook."""
PENALTY = (
    update(SubmittedNotebook)
    .where(SubmittedNotebook.id == bindparam("notebook"))
    .values(late_submission_penalty=bindparam("penalty"))
)
"""The late penalty of a submitted notebook."""
SCORE = (
    update(Grade)
    .where(Grade.notebook_id == bindparam("notebook"), Grade.cell_id == bindparam("cell"))
    .values(auto_score=bindparam("score"), needs_manual_grade=bindparam("manual"))
)
"""The automatic score of a cell that has a row in the gradebook."""
COMMENT = (
    update(Comment)
    .where(Comment.notebook_id == bindparam("notebook"), Comment.cell_id == bindparam("cell"))
    .values(auto_comment=bindparam("text"))
)
"""The automatic comment on a cell that has a row in the gradebook."""
