"""The stored reports of a course: what was graded, and from what, so that nothing is graded again without a reason."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from handgrad.course.files import make_private_file, private_mode
from handgrad.errors import CourseError
from handgrad.report.records import AcceptedAnswer, Report

__all__ = ["STORE", "ReportStore", "keep_journal"]

STORE = "answers.sqlite"
"""The file in a course's private folder; its name is from version 0.1.0, which stored answers too."""
_TABLES = """
CREATE TABLE IF NOT EXISTS report (
    assignment TEXT NOT NULL, student TEXT NOT NULL, key TEXT NOT NULL, state TEXT NOT NULL, json TEXT NOT NULL,
    PRIMARY KEY (assignment, student)
);
CREATE TABLE IF NOT EXISTS accepted (
    assignment TEXT NOT NULL, gradient TEXT NOT NULL, student TEXT NOT NULL, mistake TEXT NOT NULL, before REAL,
    after REAL, reason TEXT NOT NULL, by TEXT NOT NULL, at TEXT NOT NULL, undone INTEGER NOT NULL
);
DROP TABLE IF EXISTS answer;
DROP TABLE IF EXISTS record;
"""
"""``key`` referred to the stored answers; it is empty now."""


def keep_journal(connection: Any, *, kept: bool = True) -> None:
    """Truncate SQLite's rollback journal after a transaction, instead of deleting it and making it again for the next.

    Thousands of files made and deleted within a minute slow down some file systems. A database in another mode, such
    as WAL, is left as it is. If not ``kept``, the journal is deleted now, and after each transaction again.
    """
    before, after = ("delete", "truncate") if kept else ("truncate", "delete")
    # only an optimisation: if the database cannot be used, its next use reports that
    with suppress(sqlite3.Error):
        if connection.execute("PRAGMA journal_mode").fetchone()[0] == before:
            connection.execute(f"PRAGMA journal_mode = {after}")


class ReportStore:
    """The stored reports of a course, in the SQLite file at ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: sqlite3.Connection | None = None

    @contextmanager
    def held_open(self) -> Iterator[None]:
        """Open the file once for everything inside the block."""
        with self._connected() as connection:
            self._held = connection
            keep_journal(connection)
            try:
                yield
            finally:
                self._held = None
                keep_journal(connection, kept=False)

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

        While ``state``, the digests of everything that it depends on, is the same, it is not graded again.
        """
        row = (report.assignment, report.student, "", state, json.dumps(report.to_dict()))
        with self._connected() as connection, self._usable(), connection:
            connection.execute("INSERT OR REPLACE INTO report VALUES (?, ?, ?, ?, ?)", row)

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
        names = ", ".join(f":{column.name}" for column in fields(AcceptedAnswer))
        with self._connected() as connection, self._usable(), connection:
            connection.executemany(f"DELETE FROM accepted WHERE {same}", rows)
            connection.executemany(f"INSERT INTO accepted VALUES ({names})", rows)

    def accepted(self, assignment: str) -> list[AcceptedAnswer]:
        """The log of accepted answers of an assignment, the oldest first."""
        if not self.path.exists() or "accepted" not in self._tables():
            return []
        columns = [column.name for column in fields(AcceptedAnswer)]
        rows = self._query(f"SELECT {', '.join(columns)} FROM accepted WHERE assignment = ? ORDER BY at", assignment)
        found: Iterator[dict[str, Any]] = (dict(zip(columns, row, strict=True)) for row in rows)
        return [AcceptedAnswer(**{**row, "undone": bool(row["undone"])}) for row in found]

    def rename(self, old: str, new: str) -> None:
        """Give what is stored of the student ``old`` to ``new``, who keeps what is there already."""
        if self.path.exists():
            with self._connected() as connection, self._usable(), connection:
                connection.execute(
                    "UPDATE OR IGNORE report SET student = ?, json = json_set(json, '$.student', ?) WHERE student = ?",
                    (new, new, old),
                )
                connection.execute("UPDATE accepted SET student = ? WHERE student = ?", (new, old))

    def delete(self, student: str) -> None:
        """Delete everything that is stored of a student."""
        if self.path.exists():
            with self._connected() as connection, self._usable(), connection:
                for table in ("report", "accepted"):
                    connection.execute(f"DELETE FROM {table} WHERE student = ?", (student,))

    def _tables(self) -> set[str]:
        return {
            name for (name,) in self._query("SELECT name FROM sqlite_master WHERE type = 'table' AND name != ?", "")
        }

    def _rows(self, columns: str, assignment: str) -> list[tuple[str, ...]]:
        """Columns of the reports of an assignment."""
        if not self.path.exists():
            return []
        return self._query(f"SELECT {columns} FROM report WHERE assignment = ? ORDER BY student", assignment)

    def _query(self, query: str, value: str) -> list[tuple[str, ...]]:
        """The rows of a query with one value; reading makes no file."""
        with self._usable():
            if self._held:
                return self._held.execute(query, (value,)).fetchall()
            address = f"{self.path.resolve().as_uri()}?mode=ro"
            with closing(sqlite3.connect(address, timeout=60, uri=True)) as connection:
                return connection.execute(query, (value,)).fetchall()
