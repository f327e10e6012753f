"""The stored reports of a course: what was graded, and from what, so that nothing is graded again without a reason.

The report that a resubmission replaces is kept too.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, Self

from handgrad.course.course import PRIVATE, Course
from handgrad.course.files import make_private_file, private_mode
from handgrad.errors import CourseError
from handgrad.report.records import AcceptedAnswer, Report

__all__ = ["STORE", "ReportStore", "keep_journal", "submitted_digest"]

STORE = "answers.sqlite"
"""The file in a course's private folder; its name is from version 0.1.0, which stored answers too."""
_ACCEPTED = tuple(column.name for column in fields(AcceptedAnswer))
"""The columns of the log of accepted answers."""
_TABLES = """
CREATE TABLE IF NOT EXISTS report (
    assignment TEXT NOT NULL, student TEXT NOT NULL, key TEXT NOT NULL, state TEXT NOT NULL, json TEXT NOT NULL,
    PRIMARY KEY (assignment, student)
);
CREATE TABLE IF NOT EXISTS accepted (
    assignment TEXT NOT NULL, gradient TEXT NOT NULL, student TEXT NOT NULL, mistake TEXT NOT NULL, before REAL,
    after REAL, reason TEXT NOT NULL, by TEXT NOT NULL, at TEXT NOT NULL, undone INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS replaced (
    place INTEGER PRIMARY KEY, assignment TEXT NOT NULL, student TEXT NOT NULL, state TEXT NOT NULL, json TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS replaced_by ON replaced (assignment, student);
DROP TABLE IF EXISTS answer;
DROP TABLE IF EXISTS record;
"""
"""``key`` referred to the stored answers; it is empty now. ``replaced`` is not in the files of version 0.1.0."""


def keep_journal(connection: Any, *, kept: bool = True, mode: Literal["truncate", "wal"] = "truncate") -> bool:
    """Truncate SQLite's rollback journal after a transaction, instead of deleting it and making it again for the next.

    Thousands of files made and deleted within a minute slow down some file systems. A database in another mode, such
    as WAL, is left as it is. If not ``kept``, the journal is deleted now, and after each transaction again.

    Parameters
    ----------
    mode
        With "wal" there is a write-ahead log instead. A transaction does not wait for the disk: a process that is
        killed loses none, a power failure may lose the last ones, whole.

    Returns
    -------
    bool
        Whether the database is in another mode now.
    """
    before, after = ("delete", mode) if kept else (mode, "delete")
    # only an optimisation: if the database cannot be used, its next use reports that
    with suppress(sqlite3.Error):
        if connection.execute("PRAGMA journal_mode").fetchone()[0] == before:
            return bool(connection.execute(f"PRAGMA journal_mode = {after}").fetchone()[0] == after)
    return False


class ReportStore:
    """The stored reports of a course, in the SQLite file at ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: sqlite3.Connection | None = None

    @classmethod
    def of(cls, course: Course) -> Self:
        """The stored reports of a course; nothing is read yet."""
        return cls(course.root / PRIVATE / STORE)

    @contextmanager
    def held_open(self) -> Iterator[None]:
        """Open the file once for everything inside the block."""
        with self._connected() as connection:
            self._held = connection
            has_log = keep_journal(connection, mode="wal")
            try:
                yield
            finally:
                self._held = None
                if has_log:
                    keep_journal(connection, kept=False, mode="wal")

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        if self._held:
            yield self._held
            return
        if self.path.parent.is_dir():
            make_private_file(self.path, private_mode(self.path.parent))
        with self._usable(), closing(sqlite3.connect(self.path, timeout=60)) as connection:
            # what a power failure loses is graded again; a transaction is never half-written
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_TABLES)
            yield connection

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise CourseError(f"the stored reports in {self.path} cannot be used ({error}).") from error

    def put(self, report: Report, state: str = "") -> None:
        """Store a student's report, replacing an older one.

        While ``state``, the digests of everything that it depends on, is the same, it is not graded again. If it tells
        that something else was handed in, and the result is another one too, the older report is kept for
        :meth:`replaced`.
        """
        row = (report.assignment, report.student, "", state, json.dumps(report.to_dict()))
        with self._connected() as connection, self._usable(), connection:
            self._keep_replaced(connection, report, state)
            connection.execute("INSERT OR REPLACE INTO report VALUES (?, ?, ?, ?, ?)", row)

    @staticmethod
    def _keep_replaced(connection: sqlite3.Connection, report: Report, state: str) -> None:
        """Keep the stored report of another hand-in, which ``report`` is about to replace."""
        ours = (report.assignment, report.student)
        query = "SELECT state, json FROM report WHERE assignment = ? AND student = ?"
        if (before := connection.execute(query, ours).fetchone()) is None:
            return
        older_state, older = before
        if _is_another(older, older_state, report, state):
            connection.execute("INSERT INTO replaced VALUES (NULL, ?, ?, ?, ?)", (*ours, *before))
        elif not submitted_digest(older_state) and submitted_digest(state):
            # if the grader failed in between, the last one kept may be about this very hand-in
            query = "SELECT place, state FROM replaced WHERE assignment = ? AND student = ? ORDER BY place DESC LIMIT 1"
            last = connection.execute(query, ours).fetchone()
            if last and submitted_digest(last[1]) == submitted_digest(state):
                connection.execute("DELETE FROM replaced WHERE place = ?", last[:1])

    def states(self, assignment: str) -> dict[str, tuple[str, str]]:
        """For each student of an assignment the state in which the report was stored, and its outcome."""
        columns = "student, state, json_extract(json, '$.outcome')"
        return {student: (state, outcome) for student, state, outcome in self._rows(columns, assignment)}

    def reports(self, assignment: str) -> list[Report]:
        """The reports of an assignment, by student."""
        return [Report.from_dict(json.loads(row[0])) for row in self._rows("json", assignment)]

    def log(self, answers: Sequence[AcceptedAnswer]) -> None:
        """Add lines to the log of accepted answers; one that is undone replaces the line of the same time."""
        rows = [vars(answer) for answer in answers]
        same = "assignment = :assignment AND gradient = :gradient AND student = :student AND at = :at"
        names = ", ".join(f":{column}" for column in _ACCEPTED)
        with self._connected() as connection, self._usable(), connection:
            connection.executemany(f"DELETE FROM accepted WHERE {same}", rows)
            connection.executemany(f"INSERT INTO accepted VALUES ({names})", rows)

    def accepted(self, assignment: str) -> list[AcceptedAnswer]:
        """The log of accepted answers of an assignment, the oldest first."""
        rows = self._rows(", ".join(_ACCEPTED), assignment, "accepted", "at, student")
        found: Iterator[dict[str, Any]] = (dict(zip(_ACCEPTED, row, strict=True)) for row in rows)
        return [AcceptedAnswer(**{**row, "undone": bool(row["undone"])}) for row in found]

    def students(self) -> set[str]:
        """The names under which reports are stored, in all assignments; reading makes no file."""
        if not self.path.exists():
            return set()
        address = f"{self.path.resolve().as_uri()}?mode=ro"
        with self._usable(), closing(sqlite3.connect(address, timeout=60, uri=True)) as connection:
            return {name for (name,) in connection.execute("SELECT DISTINCT student FROM report")}

    def rename(self, old: str, new: str, assignments: Sequence[str]) -> None:
        """Give what is stored of the student ``old`` in some assignments to ``new``, who keeps what is there."""
        if not self.path.exists():
            return
        rows = [{"old": old, "new": new, "assignment": assignment} for assignment in assignments]
        ours = "WHERE student = :old AND assignment = :assignment"
        json_of = "student = :new, json = json_set(json, '$.student', :new)"
        with self._connected() as connection, self._usable(), connection:
            connection.executemany(f"UPDATE OR IGNORE report SET {json_of} {ours}", rows)
            connection.executemany(f"DELETE FROM report {ours}", rows)
            connection.executemany(f"UPDATE replaced SET {json_of} {ours}", rows)
            connection.executemany(f"UPDATE accepted SET student = :new {ours}", rows)

    def delete(self, student: str) -> None:
        """Delete everything that is stored of a student."""
        if self.path.exists():
            with self._connected() as connection, self._usable(), connection:
                for table in ("report", "replaced", "accepted"):
                    connection.execute(f"DELETE FROM {table} WHERE student = ?", (student,))

    def replaced(self, assignment: str) -> dict[str, list[Report]]:
        """The reports that resubmissions have replaced, by student, the oldest first."""
        found: dict[str, list[Report]] = {}
        for student, text in self._rows("student, json", assignment, "replaced", "place"):
            found.setdefault(student, []).append(Report.from_dict(json.loads(text)))
        return found

    def _rows(
        self, columns: str, assignment: str, table: str = "report", order: str = "student"
    ) -> list[tuple[str, ...]]:
        """Columns of the reports of an assignment; reading makes no file, and no table in a file that lacks it."""
        if not self.path.exists():
            return []
        query = f"SELECT {columns} FROM {table} WHERE assignment = ? ORDER BY {order}"
        known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
        with self._usable():
            if self._held:
                return self._held.execute(query, (assignment,)).fetchall()
            address = f"{self.path.resolve().as_uri()}?mode=ro"
            with closing(sqlite3.connect(address, timeout=60, uri=True)) as connection:
                if table != "report" and connection.execute(known, (table,)).fetchone() is None:
                    return []
                return connection.execute(query, (assignment,)).fetchall()


def submitted_digest(state: str) -> str:
    """The digest of what was handed in, from the state that is stored with a report; empty if it is not known."""
    try:
        return str(json.loads(state)["submitted"])
    except (ValueError, KeyError, TypeError):
        # three digests, of version 0.1.0
        return state.partition(" ")[0]


def _is_another(older: str, older_state: str, newer: Report, newer_state: str) -> bool:
    """Whether two reports are about different hand-ins with different results, as far as the digests tell."""
    digests = submitted_digest(older_state), submitted_digest(newer_state)
    if all(digests) and digests[0] == digests[1]:
        return False
    try:
        before = Report.from_dict(json.loads(older))
    except (ValueError, KeyError, TypeError):
        # of another version of handgrad
        return False
    return before.outcome in ("graded", "unreadable") and _result(before) != _result(newer)


def _result(report: Report) -> tuple[Any, ...]:
    """What a resubmission may change: the outcomes and the points."""
    return report.outcome, [(verdict.id, verdict.outcome, verdict.points) for verdict in report.checks]
