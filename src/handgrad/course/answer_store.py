"""The answers of a class, kept so that it can be marked again without running anyone's code.

One SQLite file. An answer's bytes are stored once under their SHA-256, however many students gave it (right answers
by the same formula are the same to the last bit); records and reports refer to them.
"""

import json
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handgrad.course.sqlite_journal import drop_journal, keep_journal
from handgrad.errors import CourseError
from handgrad.report.records import Report

if TYPE_CHECKING:
    import torch

__all__ = ["AnswerStore", "Record"]

_TABLES = """
CREATE TABLE IF NOT EXISTS answer (digest TEXT PRIMARY KEY, description TEXT NOT NULL, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS record (key TEXT PRIMARY KEY, json BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS report (
    assignment TEXT NOT NULL, student TEXT NOT NULL, key TEXT NOT NULL, state TEXT NOT NULL, json TEXT NOT NULL,
    PRIMARY KEY (assignment, student)
);
"""


@dataclass(frozen=True)
class Record:
    """What is kept of a graded submission, packed: verdicts, comparisons, and answers by a digest of their bytes."""

    text: bytes
    answers: Mapping[str, tuple[str, bytes]]


class AnswerStore:
    """The stored answers, comparisons and reports of a course, in the SQLite file at ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: sqlite3.Connection | None = None

    @contextmanager
    def held_open(self) -> Iterator[None]:
        """Open the file once for all that is done inside."""
        with self._connected() as connection:
            self._held = connection
            keep_journal(connection)
            try:
                yield
            finally:
                self._held = None
                drop_journal(connection)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        if self._held:
            yield self._held
            return
        with self._readable(), closing(sqlite3.connect(self.path, timeout=60)) as connection:
            # what is lost with the power is graded again; what is written is never half-written
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.executescript(_TABLES)
            yield connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as connection, self._readable(), connection:
            yield connection

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise CourseError(f"the stored answers in {self.path} cannot be used ({error}).") from error

    def put(self, report: Report, key: str = "", record: Record | None = None, state: str = "") -> None:
        """Store a student's report in the place of an older one, in one transaction with what it rests on.

        Parameters
        ----------
        key, record
            The answers and comparisons behind it, and under which key they are found; none for what was not graded.
        state
            A digest of everything that the report depends on: as long as it is the same, nothing is to be done again.
        """
        row = (report.assignment, report.student, key, state, json.dumps(report.to_dict()))
        with self._transaction() as connection:
            if record:
                answers = [(digest, *one) for digest, one in record.answers.items()]
                connection.executemany("INSERT OR IGNORE INTO answer VALUES (?, ?, ?)", answers)
                connection.execute("INSERT OR REPLACE INTO record VALUES (?, ?)", (key, record.text))
            connection.execute("INSERT OR REPLACE INTO report VALUES (?, ?, ?, ?, ?)", row)

    def evidence(self, key: str) -> dict[str, Any] | None:
        """The record under ``key``: comparisons, verdicts as they were first, and which answers there were; or None."""
        with self._transaction() as connection:
            row = connection.execute("SELECT json FROM record WHERE key = ?", (key,)).fetchone()
        return json.loads(zlib.decompress(row[0])) if row else None

    def answer(self, digest: str) -> "torch.Tensor | None":
        """The tensor whose bytes have this digest; None where there is none."""
        with self._transaction() as connection:
            row = connection.execute("SELECT description, data FROM answer WHERE digest = ?", (digest,)).fetchone()
        if not row:
            return None
        from handgrad.gradients.tensor_bytes import unpack_tensor  # noqa: PLC0415 - torch is for who looks at a tensor

        return unpack_tensor(json.loads(row[0]), zlib.decompress(row[1]))

    def states(self, assignment: str) -> dict[str, tuple[str, str]]:
        """For each student of an assignment, the state in which the last report was stored, and its outcome."""
        query = "SELECT student, state, json_extract(json, '$.outcome') FROM report WHERE assignment = ?"
        with self._transaction() as connection:
            return {student: (state, outcome) for student, state, outcome in connection.execute(query, (assignment,))}

    def kept(self, assignment: str) -> dict[str, tuple[str, str]]:
        """For each student of an assignment, the key of the record behind the last report, and its state."""
        query = "SELECT student, key, state FROM report WHERE assignment = ?"
        with self._transaction() as connection:
            return {student: (key, state) for student, key, state in connection.execute(query, (assignment,))}

    def reports(self, assignment: str) -> list[Report]:
        """The reports of an assignment, by student."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT json FROM report WHERE assignment = ? ORDER BY student", (assignment,)
            ).fetchall()
        return [Report.from_dict(json.loads(row[0])) for row in rows]
