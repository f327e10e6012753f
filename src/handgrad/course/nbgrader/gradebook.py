"""nbgrader's gradebook, as `handgrad grade` reads and writes it: each submission in one transaction.

nbgrader's tables have an index by cell and notebook, but none by notebook alone: without the cells in a condition, each
statement would scan the rows of the whole class.
"""

import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any, Self

from nbformat import NotebookNode
from nbgrader.api import (
    Assignment,
    Comment,
    Grade,
    Gradebook,
    GradeCell,
    MissingEntry,
    Notebook,
    SolutionCell,
    Student,
    SubmittedAssignment,
    SubmittedNotebook,
    TaskCell,
)
from nbgrader.preprocessors import SaveCells
from sqlalchemy import Connection, Update, and_, bindparam, event, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from handgrad.course.course import Course
from handgrad.course.nbgrader.database import (
    address,
    at_work,
    get_ready,
    is_own,
    refuse_other_cells,
    refuse_other_course,
)
from handgrad.course.nbgrader.notebook_steps import LOG, CellGrade, GradebookRow, Known, as_saved
from handgrad.course.nbgrader.penalties import LatePenalties, lateness
from handgrad.course.report_store import keep_journal
from handgrad.errors import CourseError
from handgrad.report.records import NEEDS_REVIEW, Report

__all__ = ["CELL_SCORE", "PENALTY", "GradebookWriter"]

# each statement is built once
_CELLS: Any = bindparam("cells", expanding=True)
CELL_SCORE = func.coalesce(Grade.manual_score, Grade.auto_score) + func.coalesce(Grade.extra_credit, 0.0)
"""The manual score of a cell, or the automatic score if there is none, plus extra credit; NULL without a score."""
_SCORES = select(
    Grade.cell_id, Grade.auto_score, Grade.manual_score, Grade.extra_credit, Grade.needs_manual_grade
).where(Grade.notebook_id == bindparam("notebook"), Grade.cell_id.in_(_CELLS))
"""The scores of each cell of a submitted notebook."""
_COMMENTS = select(Comment.cell_id, Comment.auto_comment, Comment.manual_comment).where(
    Comment.notebook_id == bindparam("notebook"), Comment.cell_id.in_(_CELLS)
)
"""The comments on each cell of a submitted notebook."""
_HANDED_IN = (
    select(SubmittedAssignment.student_id)
    .join(SubmittedNotebook, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
    .where(SubmittedNotebook.notebook_id == bindparam("notebook"))
)
"""The students with a submitted notebook."""
_GRADED = (
    _HANDED_IN.join(Grade, Grade.notebook_id == SubmittedNotebook.id).where(Grade.auto_score.is_not(None)).distinct()
)
"""The students with a score of a submitted notebook."""
_SUBMITTED = (
    select(
        SubmittedAssignment.id.label("submission"),
        SubmittedAssignment.timestamp,
        SubmittedAssignment.extension,
        SubmittedNotebook.notebook_id.label("notebook"),
        SubmittedNotebook.id.label("submitted"),
        SubmittedNotebook.late_submission_penalty.label("penalty"),
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
"""A student's submission and its notebooks; no row if the gradebook does not know the student."""
PENALTY = (
    update(SubmittedNotebook)
    .where(SubmittedNotebook.id == bindparam("notebook"))
    .values(late_submission_penalty=bindparam("penalty"))
)
"""The late penalty of a submitted notebook."""


def _of_cell(table: Any, **columns: Any) -> Update:
    """A statement that updates ``columns`` of the row of a cell of a submitted notebook."""
    of_cell = table.notebook_id == bindparam("notebook"), table.cell_id == bindparam("cell")
    return update(table).where(*of_cell).values(columns)


_SCORE = _of_cell(Grade, auto_score=bindparam("score"), needs_manual_grade=bindparam("manual"))
"""The automatic score of a cell of a submitted notebook."""
_COMMENT = _of_cell(Comment, auto_comment=bindparam("text"))
"""The automatic comment on a cell of a submitted notebook."""


class GradebookWriter:
    """Reads and writes the rows of one assignment, in the database that the configuration of its course names.

    A context manager; only one process may write at a time. A database that cannot be used is a CourseError.
    """

    def __init__(self, course: Course, assignment: str) -> None:
        self.course, self.assignment = course, assignment
        self._db_url, self._course_id = address(course)
        self._late = LatePenalties(course.config)

    @at_work()
    def __enter__(self) -> Self:
        get_ready(self.course)
        self._gradebook = Gradebook(self._db_url, self._course_id)
        self._engine = self._gradebook.engine
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", lambda connection, _: keep_journal(connection))
            event.listen(self._engine, "close", lambda connection, _: keep_journal(connection, kept=False))
            # close the connections that were opened without it
            self._engine.dispose()
        return self

    def __exit__(self, *_: object) -> None:
        self._gradebook.close()

    @at_work()
    def register(self, source: NotebookNode) -> None:
        """Update the gradebook's cells of the assignment to the instructor's notebook ``source``.

        Raises
        ------
        CourseError
            nbgrader cannot make the assignment's student version, cells were added or removed since students handed
            in, or the assignment is that of another course.
        """
        with self._engine.connect() as connection:
            refuse_other_course(connection, self.assignment, self._course_id, is_own=is_own(self.course))
        try:
            saved = as_saved(source, self.assignment, self.course.config)
            if self._known() != _described(Known(saved)):
                refuse_other_cells(self._gradebook, saved, self.assignment, self.assignment)
                self._gradebook.update_or_create_assignment(self.assignment)
                ids = {"assignment": self.assignment, "notebook": self.assignment, "db_url": self._db_url}
                SaveCells(config=self.course.config, log=LOG).preprocess(saved, {"nbgrader": ids})
        except CourseError:
            raise
        except (RuntimeError, ValueError) as error:
            raise CourseError(f"nbgrader cannot make the student's version of {self.assignment}: {error}.") from error
        self._load()

    def _known(self) -> Any:
        """The gradebook's cells of the notebook; None if it has no such notebook."""
        try:
            return _described(self._gradebook.find_notebook(self.assignment, self.assignment))
        except MissingEntry:
            return None
        finally:
            self._gradebook.db.rollback()

    def _load(self) -> None:
        """Look up the ids of the assignment, its notebooks and their cells."""
        with self._engine.connect() as connection:
            # the name is unique in a database, whatever id the course has now
            self._assignment_id, self._duedate = connection.execute(
                select(Assignment.id, Assignment.duedate).where(Assignment.name == self.assignment)
            ).one()

            def cells(notebook: str, column: str, *kinds: Any) -> dict[str, Any]:
                """One column of a notebook's cells of some kinds, by their names."""
                asked = (select(kind.name, getattr(kind, column)).where(kind.notebook_id == notebook) for kind in kinds)
                return {name: value for statement in asked for name, value in connection.execute(statement)}

            ours = select(Notebook.name, Notebook.id).where(Notebook.assignment_id == self._assignment_id)
            self._notebooks = {row.name: row.id for row in connection.execute(ours)}
            self._notebook = self._notebooks[self.assignment]
            self._graded = {name: cells(key, "id", GradeCell, TaskCell) for name, key in self._notebooks.items()}
            self._commented = {name: cells(key, "id", SolutionCell, TaskCell) for name, key in self._notebooks.items()}
            self._points = cells(self._notebook, "max_score", GradeCell, TaskCell)
            self._students = set(connection.execute(_HANDED_IN, {"notebook": self._notebook}).scalars())
            ours = select(SubmittedAssignment.student_id).where(
                SubmittedAssignment.assignment_id == self._assignment_id
            )
            self._submitters = set(connection.execute(ours).scalars())
            people = connection.execute(select(Student.id, Student.first_name, Student.last_name))
            self._names = {student: " ".join(filter(None, parts)) for student, *parts in people}

    @at_work()
    def graded(self) -> set[str]:
        """The students for whom the gradebook holds a score of the assignment's notebook."""
        with self._engine.connect() as connection:
            return set(connection.execute(_GRADED, {"notebook": self._notebook}).scalars())

    @at_work()
    def save(
        self, report: Report, comments: Mapping[str, str | None], timestamp: datetime | None, *, is_same: bool = False
    ) -> GradebookRow:
        """Write a graded submission as nbgrader's ``autograde`` does, in one transaction; the row of its notebook now.

        Manual scores and comments are kept. A cell with a manual score is marked for manual review if something else
        was handed in, or if its automatic score has changed.

        Parameters
        ----------
        comments
            The automatic comment on each solution cell; None if there is none.
        timestamp
            When it was handed in; None if that is not known.
        is_same
            Whether it is the submission that was graded last.
        """
        if report.student not in self._submitters:
            self._submitters.add(report.student)
            # a row that somebody else has made since then is looked up
            with suppress(IntegrityError):
                return self._save_first(report, comments, timestamp)
        graded, commented = self._graded[self.assignment], self._commented[self.assignment]
        with self._engine.begin() as connection:
            new = _NewRows()
            notebook, is_new, seconds, penalised = self._submitted(connection, new, report.student, timestamp)
            before = self._new_row() if is_new else self._row(connection, notebook)
            row = before.updated(report, comments)
            if is_new:
                self._add_cells(new, notebook, report, row)
                new.insert(connection)
            else:
                new.insert(connection)
                held = _held(report)
                scores = [
                    {
                        "cell": graded[name],
                        "notebook": notebook,
                        "score": cell.auto,
                        "manual": _needs_review(before.cells[name], cell.auto, is_held=name in held, is_same=is_same),
                    }
                    for name, cell in row.cells.items()
                ]
                connection.execute(_SCORE, scores)
                texts = [
                    {"cell": cell, "notebook": notebook, "text": row.comments[name]} for name, cell in commented.items()
                ]
                connection.execute(_COMMENT, texts)
            penalty = self._late.penalty(report.student, row.score, seconds)
            if penalty != penalised:
                connection.execute(PENALTY, {"notebook": notebook, "penalty": penalty})
            return replace(row, late_penalty=penalty or 0.0, name=self._names.get(report.student, ""))

    def _save_first(
        self, report: Report, comments: Mapping[str, str | None], timestamp: datetime | None
    ) -> GradebookRow:
        """:meth:`save` for a student of whom the gradebook has no submission: nothing has to be looked up.

        If there is one meanwhile, nothing is written, and the database's IntegrityError is raised.
        """
        new, student = _NewRows(), report.student
        row = self._new_row().updated(report, comments)
        penalty = self._late.penalty(student, row.score, lateness(self._duedate, timestamp, None))
        if student not in self._names:
            new.add(Student, [{}], [student])
        values = {"assignment_id": self._assignment_id, "student_id": student, "timestamp": timestamp}
        submission = new.add(SubmittedAssignment, [values])
        for name, key in self._notebooks.items():
            is_ours = key == self._notebook
            of_notebook = {"notebook_id": key, "assignment_id": submission, "flagged": False}
            late = {"late_submission_penalty": penalty if is_ours else None}
            submitted = new.add(SubmittedNotebook, [{**of_notebook, **late}])
            if is_ours:
                self._add_cells(new, submitted, report, row)
            else:
                for table, cells, of_cell in self._empty_cells(name):
                    new.add(table, [{"notebook_id": submitted, "cell_id": cell, **of_cell} for cell in cells])
        with self._engine.connect() as connection:
            new.insert_alone(connection)
        return replace(row, late_penalty=penalty or 0.0, name=self._names.get(student, ""))

    def _add_cells(self, new: "_NewRows", notebook: str, report: Report, row: GradebookRow) -> None:
        """Add the rows of the cells of a notebook that is new to the gradebook."""
        graded, commented, held = self._graded[self.assignment], self._commented[self.assignment], _held(report)
        scores = [
            {
                "notebook_id": notebook,
                "cell_id": graded[name],
                "auto_score": cell.auto,
                "needs_manual_grade": name in held or cell.auto is None,
            }
            for name, cell in row.cells.items()
        ]
        new.add(Grade, scores)
        texts = [
            {"notebook_id": notebook, "cell_id": cell, "auto_comment": row.comments[name]}
            for name, cell in commented.items()
        ]
        new.add(Comment, texts)

    def _empty_cells(self, notebook: str) -> tuple[tuple[Any, Collection[str], dict[str, Any]], ...]:
        """The tables of the cells' rows, the cells of a notebook in each, and the values of a row of a new notebook."""
        return (
            (Grade, self._graded[notebook].values(), {"needs_manual_grade": True}),
            (Comment, self._commented[notebook].values(), {}),
        )

    @at_work()
    def known(self, student: str, timestamp: datetime | None) -> GradebookRow | None:
        """The row of a notebook before it is graded; None if a late penalty must be decided first."""
        if student not in self._students:
            is_late = lateness(self._duedate, timestamp, None) > 0
            return None if is_late else replace(self._new_row(), name=self._names.get(student, ""))
        with self._engine.connect() as connection:
            ours = self._notebook_of(connection, student)
            if ours is None or lateness(self._duedate, timestamp or ours.timestamp, ours.extension) > 0:
                return None
            return replace(self._row(connection, ours.submitted), name=self._names.get(student, ""))

    @at_work()
    def row(self, student: str) -> GradebookRow | None:
        """The row of a student's notebook, with its late penalty; None if there is none."""
        with self._engine.connect() as connection:
            if (ours := self._notebook_of(connection, student)) is None:
                return None
            name = self._names.get(student, "")
            return replace(self._row(connection, ours.submitted), late_penalty=ours.penalty or 0.0, name=name)

    def _notebook_of(self, connection: Connection, student: str) -> Any:
        """The row of ``_SUBMITTED`` of a student's notebook; None if there is none."""
        sought = {"student": student, "assignment": self._assignment_id, "notebooks": [self._notebook]}
        row = connection.execute(_SUBMITTED, sought).one_or_none()
        return row if row and row.submitted else None

    def _new_row(self) -> GradebookRow:
        """The row of a notebook that is new to the gradebook."""
        cells = {name: CellGrade(self._points[name]) for name in self._graded[self.assignment]}
        return GradebookRow(cells, dict.fromkeys(self._commented[self.assignment]))

    def _row(self, connection: Connection, notebook: str) -> GradebookRow:
        """The row of a submitted notebook, without its late penalty."""
        graded, commented = self._graded[self.assignment], self._commented[self.assignment]
        scores = {
            row.cell_id: (row.auto_score, row.manual_score, row.extra_credit or 0.0, bool(row.needs_manual_grade))
            for row in connection.execute(_SCORES, {"notebook": notebook, "cells": [*graded.values()]})
        }
        remarks = {
            row.cell_id: (row.auto_comment, row.manual_comment)
            for row in connection.execute(_COMMENTS, {"notebook": notebook, "cells": [*commented.values()]})
        }
        cells = {name: CellGrade(self._points[name], *scores[cell]) for name, cell in graded.items()}
        texts = {name: remarks.get(cell, (None, None)) for name, cell in commented.items()}
        automatic = {name: text for name, (text, _) in texts.items()}
        return GradebookRow(cells, automatic, {name: text for name, (_, text) in texts.items() if text is not None})

    @at_work()
    def flag(self, student: str, message: str) -> None:
        """Mark a student's earlier scores for manual review: they are not those of the current submission.

        If the gradebook has no row for the student, none is made: a row without a score counts as zero.
        """
        cells, graded = self._commented[self.assignment], self._graded[self.assignment].values()
        with self._engine.begin() as connection:
            if (ours := self._notebook_of(connection, student)) is None:
                return
            notebook, cell = ours.submitted, next(iter(cells.values()))
            of_student = update(Grade).where(Grade.notebook_id == notebook, Grade.cell_id.in_(graded))
            connection.execute(of_student.values(needs_manual_grade=True))
            connection.execute(_COMMENT, [{"notebook": notebook, "cell": cell, "text": message}])

    def _submitted(
        self, connection: Connection, new: "_NewRows", student: str, timestamp: datetime | None
    ) -> tuple[str, bool, float, float | None]:
        """A student's submitted notebook: its id, whether it is new, how many seconds it is late, its late penalty.

        Adds every row that nbgrader would make for it to ``new``, except the cells' rows of a new notebook.
        """
        sought = {"student": student, "assignment": self._assignment_id, "notebooks": [*self._notebooks.values()]}
        rows = connection.execute(_SUBMITTED, sought).all()
        submission, dated, extension = rows[0][:3] if rows else (None, None, None)
        submitted = {row.notebook: row.submitted for row in rows if row.notebook}
        penalties = {row.notebook: row.penalty for row in rows}
        if not rows:
            new.add(Student, [{}], [student])
        if submission is None:
            values = {"assignment_id": self._assignment_id, "student_id": student, "timestamp": timestamp}
            submission = new.add(SubmittedAssignment, [values])
        elif timestamp is not None:
            connection.execute(
                update(SubmittedAssignment).where(SubmittedAssignment.id == submission).values(timestamp=timestamp)
            )
        is_new = self._notebook not in submitted
        for name, key in self._notebooks.items():
            first = key not in submitted
            if first:
                values = {"notebook_id": key, "assignment_id": submission, "flagged": False}
                submitted[key] = new.add(SubmittedNotebook, [values])
            # the rows of a new notebook of ours are inserted with their scores and comments
            if not (first and key == self._notebook):
                for table, cells, of_cell in self._empty_cells(name):
                    known = select(table.cell_id).where(table.notebook_id == submitted[key], table.cell_id.in_(cells))
                    present = set(connection.execute(known).scalars())
                    missing = [cell for cell in cells if cell not in present]
                    new.add(table, [{"notebook_id": submitted[key], "cell_id": cell, **of_cell} for cell in missing])
        seconds = lateness(self._duedate, timestamp or dated, extension)
        return submitted[self._notebook], is_new, seconds, penalties.get(self._notebook)


def _held(report: Report) -> set[str]:
    """The cells that somebody has to look at."""
    return {verdict.id for verdict in report.checks if verdict.outcome in NEEDS_REVIEW}


def _needs_review(cell: CellGrade, points: float | None, *, is_held: bool, is_same: bool) -> bool:
    """Whether a cell needs manual review after its automatic score was written: ``points``, None if it has none."""
    if cell.manual is None:
        return is_held or points is None
    return cell.waiting or not is_same or (points is not None and points != cell.auto)


class _NewRows:
    """Rows to be inserted, table by table, in the order in which they refer to each other."""

    def __init__(self) -> None:
        self._rows: list[tuple[Any, list[dict[str, Any]]]] = []

    def add(self, table: Any, rows: Sequence[Mapping[str, Any]], ids: Sequence[str] = ()) -> str:
        """Add rows that have the same columns, all that have a default in nbgrader's models; the id of the first.

        The ids are 32 hexadecimal digits, as nbgrader's, unless others are given; later ids are larger.
        """
        # rows written together are then neighbours in the index, not each on a different page of a large class's index
        prefix = f"{time.time_ns():016x}{secrets.token_hex(6)}"
        ids = ids or [f"{prefix}{number:04x}" for number in range(len(rows))]
        if rows:
            self._rows.append((table, [{"id": key, **row} for key, row in zip(ids, rows, strict=True)]))
        return next(iter(ids), "")

    def insert_alone(self, connection: Connection) -> None:
        """Insert the rows, in a transaction of their own: all, or none and an IntegrityError is raised."""
        if connection.dialect.driver == "psycopg2":
            # what is sent as one text is a transaction, without a word at its start and its end that are answered
            self.insert(connection.execution_options(isolation_level="AUTOCOMMIT"))
        else:
            with connection.begin():
                self.insert(connection)

    def insert(self, connection: Connection) -> None:
        """Insert the rows."""
        if connection.dialect.driver != "psycopg2":
            for table, rows in self._rows:
                connection.execute(insert(table), rows)
        elif self._rows:
            # each answer of a server is waited for, and SQLAlchemy would put the text together again each time
            texts = (_insertion(table.__tablename__, tuple(rows[0]), len(rows)) for table, rows in self._rows)
            values = (value for _, rows in self._rows for row in rows for value in row.values())
            connection.exec_driver_sql("; ".join(texts), tuple(values))


@cache
def _insertion(table: str, columns: Sequence[str], rows: int) -> str:
    """A statement that inserts so many rows, with a ``%s`` for each value."""
    row = f"({', '.join(['%s'] * len(columns))})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * rows)}"


def _described(notebook: Any) -> tuple[Any, ...]:
    """The cells of a notebook, from the gradebook or from the source, in a form that can be compared."""

    def rows(cells: Sequence[Any], *names: str) -> list[tuple[Any, ...]]:
        return sorted(tuple(getattr(cell, name) for name in names) for cell in cells)

    return (
        notebook.kernelspec,
        rows(notebook.grade_cells, "name", "max_score", "cell_type"),
        rows(notebook.task_cells, "name", "max_score", "cell_type"),
        rows(notebook.solution_cells, "name"),
        rows(notebook.source_cells, "name", "cell_type", "locked", "source", "checksum"),
    )
