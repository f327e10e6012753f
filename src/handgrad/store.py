"""The answers of a class, kept so that it can be marked again without running anyone's code.

One SQLite file. An answer's bytes are stored once under their SHA-256, however many students gave it (right answers
by the same formula are the same to the last bit); records and reports refer to them.
"""

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Container, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from handgrad import __version__
from handgrad.answers import Answers
from handgrad.errors import CourseError
from handgrad.exercise import Exercise
from handgrad.grade import Graded
from handgrad.marking import Evidence
from handgrad.passes import Pass
from handgrad.report import Comparison, Report
from handgrad.sandbox.frames import pack_tensor, unpack_tensor
from handgrad.sandbox.messages import Answer
from handgrad.submission import Submission

__all__ = ["AnswerStore", "Record", "record_key"]

SCHEMA = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS answer (digest TEXT PRIMARY KEY, description TEXT NOT NULL, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS record (key TEXT PRIMARY KEY, json BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS report (
    assignment TEXT NOT NULL, student TEXT NOT NULL, key TEXT NOT NULL, state TEXT NOT NULL, json TEXT NOT NULL,
    PRIMARY KEY (assignment, student)
);
"""


def record_key(exercise: Exercise, passes: tuple[Pass, ...], submission: Submission) -> str:
    """SHA-256 over everything that the answers depend on: exercise, parameters, the student's cells, the version."""
    content = [
        __version__,
        exercise.digest,
        [[one.name, sorted(one.parameters.items())] for one in passes],
        [[cell.gradients, cell.source] for cell in submission.cells],
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@dataclass(frozen=True)
class Record:
    """What is kept of a graded submission, packed: verdicts, comparisons, and answers by a digest of their bytes."""

    text: bytes
    answers: Mapping[str, tuple[str, bytes]]

    @classmethod
    def of(cls, graded: Graded, known: Container[str] = ()) -> "Record":
        """Pack the answers and the comparisons behind a report; the answers in ``known`` are only referred to."""
        answers: dict[str, tuple[str, bytes]] = {}

        def described(kept: Answers) -> list[Mapping[str, Any] | None]:
            at_stub = _described(kept.at_stub, answers, known)
            # most often it is the same answer still
            same = kept.at_end is kept.at_stub
            return [at_stub, at_stub if same else _described(kept.at_end, answers, known)]

        passes = {
            name: {gradient: described(kept) for gradient, kept in one_pass.items()}
            for name, one_pass in graded.answers.items()
        }
        evidence = {gradient: [_plain(one) for one in rounds] for gradient, rounds in graded.evidence.items()}
        verdicts = [one.to_dict() for one in graded.report.checks]
        content = {"schema": SCHEMA, "handgrad": __version__, "answers": passes}
        text = json.dumps({**content, "evidence": evidence, "verdicts": verdicts})
        return cls(zlib.compress(text.encode()), answers)


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
            try:
                yield
            finally:
                self._held = None

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

    def answer(self, digest: str) -> torch.Tensor | None:
        """The tensor whose bytes have this digest; None where there is none."""
        with self._transaction() as connection:
            row = connection.execute("SELECT description, data FROM answer WHERE digest = ?", (digest,)).fetchone()
        return unpack_tensor(json.loads(row[0]), zlib.decompress(row[1])) if row else None

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


def _plain(evidence: Evidence) -> dict[str, Any]:
    """Evidence as plain data, as :func:`dataclasses.asdict` has it in many times the time."""

    def facts(one: Comparison | None) -> Mapping[str, Any] | None:
        return vars(one) if one else None

    compared = {name: facts(getattr(evidence, name)) for name in ("step", "helped", "step_against_true")}
    as_written = [facts(one) for one in evidence.as_written]
    return {"as_written": as_written, **compared, "zero": evidence.zero, "blind": evidence.blind}


def _described(
    answer: Answer | None, blobs: dict[str, tuple[str, bytes]], known: Container[str]
) -> Mapping[str, Any] | None:
    """An answer for a record; a tensor's bytes go into ``blobs`` under their digest, unless it is ``known``."""
    if answer is None:
        return None
    if answer.value is None:
        return {"kind": answer.kind, "type": answer.type}
    description, data = pack_tensor(answer.value)
    text = json.dumps(description)
    digest = hashlib.sha256(text.encode() + data).hexdigest()
    if digest not in blobs and digest not in known:
        blobs[digest] = (text, zlib.compress(data, level=1))
    return {"kind": "tensor", "digest": digest}
