"""The stored answers of a class."""

import copy
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from handgrad.course import answer_record
from handgrad.course.answer_record import record_key, record_of
from handgrad.course.answer_store import AnswerStore
from handgrad.errors import CourseError
from handgrad.exercise.exercise import Exercise, grade_id
from handgrad.grading.grader import Grader, GradingResult
from handgrad.grading.passes import plan
from handgrad.grading.run_passes import AnswerPair
from handgrad.report.records import Report
from handgrad.sandbox.messages import Answer
from handgrad.submission.submission import Submission

REPORT = Report("backprop", "backprop", "graded", "0.1.0", student="s01")


@pytest.fixture
def store(tmp_path: Path) -> AnswerStore:
    """An empty store."""
    return AnswerStore(tmp_path / "answers.sqlite")


@pytest.fixture(scope="module")
def graded(grader: Grader, exercise: Exercise, solved: Any) -> GradingResult:
    """The worked solution but for one cell, graded, with answers that are no tensors among the others."""
    notebook = copy.deepcopy(solved)
    next(cell for cell in notebook.cells if grade_id(cell) == "dC").source = "dC = torch.zeros_like(C)"
    found = grader.grade(Submission.of(notebook, exercise))
    strange = {"dprobs": AnswerPair(Answer("none"), Answer("other", type="list")), "dh": AnswerPair()}
    return replace(found, answers={**found.answers, "strange": strange})


def _rows(store: AnswerStore, table: str) -> int:
    with closing(sqlite3.connect(store.path)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_the_journal_stays_while_a_class_is_graded(store: AnswerStore) -> None:
    """One file, emptied after each of many reports, and gone after the last."""
    journal = store.path.with_name(f"{store.path.name}-journal")
    with store.held_open():
        store.put(REPORT)
        first = journal.stat()
        store.put(replace(REPORT, student="s02"))
        assert (journal.stat().st_size, journal.stat().st_ino) == (0, first.st_ino)
    assert not journal.exists()
    assert len(store.reports("backprop")) == 2


def test_a_database_in_another_mode_is_left_so(store: AnswerStore) -> None:
    """Write-ahead logging was somebody's choice."""
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    with store.held_open():
        store.put(REPORT)
    with closing(sqlite3.connect(store.path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_answers_come_back(store: AnswerStore, graded: GradingResult) -> None:
    """Every answer comes back bit for bit, and what is no tensor by its kind."""
    store.put(REPORT, "key", record_of(graded))
    record = store.evidence("key")
    assert record is not None
    assert set(record["answers"]) == set(graded.answers)
    seen = 0
    for name, by_gradient in graded.answers.items():
        for gradient, answers in by_gradient.items():
            for kept, stored in zip(answers.both(), record["answers"][name][gradient], strict=True):
                if kept is None:
                    assert stored is None
                elif kept.value is None:
                    assert stored == {"kind": kept.kind, "type": kept.type}
                else:
                    tensor = store.answer(stored["digest"])
                    assert tensor is not None
                    assert tensor.dtype == kept.value.dtype
                    assert torch.equal(tensor, kept.value)
                    seen += 1
    assert seen >= 26 * 4


def test_evidence_comes_back(store: AnswerStore, graded: GradingResult) -> None:
    """The comparisons come back as they were, so that a class can be marked again."""
    store.put(REPORT, "key", record_of(graded))
    record = store.evidence("key")
    assert record is not None
    assert set(record["evidence"]) == set(graded.evidence)
    for gradient, rounds in graded.evidence.items():
        for one, stored in zip(rounds, record["evidence"][gradient], strict=True):
            plain = asdict(one)
            for name in ("step", "helped", "step_against_true"):
                expected = plain[name] and {**plain[name], **_lists(plain[name])}
                assert stored[name] == expected
            assert (stored["zero"], stored["blind"]) == (one.zero, one.blind)


def _lists(comparison: dict[str, Any]) -> dict[str, Any]:
    return {name: list(comparison[name]) for name in ("shape", "expected_shape")}


def test_equal_answers_are_stored_once(store: AnswerStore, graded: GradingResult) -> None:
    """A second student with the same answers adds a record and no answer."""
    store.put(REPORT, "first", record_of(graded))
    answers = _rows(store, "answer")
    tensors = [one.value for by in graded.answers.values() for kept in by.values() for one in kept.both() if one]
    distinct = {(str(one.dtype), tuple(one.shape), bytes(one.numpy().data)) for one in tensors if one is not None}
    assert answers == len(distinct)
    store.put(REPORT, "second", record_of(graded))
    assert _rows(store, "answer") == answers
    assert _rows(store, "record") == 2
    store.put(REPORT, "second", record_of(graded))
    assert _rows(store, "record") == 2


def test_same_bytes_of_another_kind(store: AnswerStore) -> None:
    """Two answers with the same bytes but another shape or dtype are two answers."""
    values = [torch.zeros(4), torch.zeros(2, 2), torch.zeros(4, dtype=torch.int32), torch.zeros(0), torch.zeros(0, 3)]
    answers = {"pass": {f"d{number}": AnswerPair(Answer("tensor", one)) for number, one in enumerate(values)}}
    store.put(REPORT, "key", record_of(GradingResult(REPORT, answers=answers)))
    record = store.evidence("key")
    assert record is not None
    for number, one in enumerate(values):
        stored = store.answer(record["answers"]["pass"][f"d{number}"][0]["digest"])
        assert stored is not None
        assert (stored.dtype, stored.shape) == (one.dtype, one.shape)


def test_what_is_not_there(store: AnswerStore) -> None:
    """An unknown key, digest or assignment is nothing, not an error."""
    assert store.evidence("nothing") is None
    assert store.answer("nothing") is None
    assert store.reports("nothing") == []


def test_reports(store: AnswerStore, graded: GradingResult) -> None:
    """Reports come back by student, of one assignment, the last one of each student."""
    for student in ("s10", "s02", "s01"):
        store.put(replace(REPORT, student=student, message="old"))
    store.put(replace(REPORT, assignment="other"))
    store.put(replace(REPORT, student="s02", message="new ünï"), "key")
    found = store.reports("backprop")
    assert [(one.student, one.message) for one in found] == [("s01", "old"), ("s02", "new ünï"), ("s10", "old")]
    store.put(graded.report.for_student("s03"))
    data = next(one for one in store.reports("backprop") if one.student == "s03").to_dict()
    assert data == graded.report.for_student("s03").to_dict()


def test_reports_survive_the_process(store: AnswerStore) -> None:
    """What was stored is found by another store over the same file."""
    store.put(REPORT)
    assert AnswerStore(store.path).reports("backprop") == [REPORT]


def test_many_writers(store: AnswerStore) -> None:
    """Reports that several threads store at once are all there."""
    faults: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for index in range(5):
                store.put(replace(REPORT, student=f"s{number}-{index}"))
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(store.reports("backprop")) == 20


def test_all_or_nothing(store: AnswerStore, graded: GradingResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the record cannot be written, its answers are not left behind."""
    store.put(REPORT)  # makes the tables

    class Broken:
        @staticmethod
        def compress(data: bytes, level: int = -1) -> Any:
            # sqlite cannot store an object: the record fails, not the answers
            return object() if data.startswith(b'{"schema"') else data

    monkeypatch.setattr(answer_record, "zlib", Broken)
    with pytest.raises(CourseError, match="cannot be used"):
        store.put(REPORT, "key", record_of(graded))
    assert _rows(store, "answer") == _rows(store, "record") == 0


@pytest.mark.parametrize("kind", ["garbage", "folder", "no folder"])
def test_a_file_that_cannot_be_used(kind: str, tmp_path: Path) -> None:
    """A file that is no database, or cannot be one, is one error with its path."""
    path = tmp_path / "answers.sqlite"
    if kind == "garbage":
        path.write_bytes(b"no database" * 1000)
    elif kind == "folder":
        path.mkdir()
    else:
        path = tmp_path / "nowhere" / "answers.sqlite"
    with pytest.raises(CourseError, match="cannot be used") as caught:
        AnswerStore(path).put(REPORT)
    assert str(path) in str(caught.value)


def test_record_key(
    exercise: Exercise, submit: Callable[..., Submission], make_exercise: Callable[..., Exercise]
) -> None:
    """The key changes with the exercise, the passes and the cells, and with nothing else."""
    passes = plan([1])
    key = record_key(exercise, passes, submit())
    assert record_key(exercise, plan([1]), submit()) == key
    others = {
        record_key(exercise, plan([2]), submit()),
        record_key(exercise, plan([1], [{"batch_size": 16}]), submit()),
        record_key(exercise, passes, submit(dprobs="dprobs = dlogprobs / probs  # another way")),
        record_key(make_exercise("", "x"), passes, submit()),
    }
    assert len(others | {key}) == 5
    noted = submit()
    noted.notebook.cells[0].source = "# Notes"
    noted.notebook.cells[1].outputs = []
    assert record_key(exercise, passes, Submission.of(noted.notebook, exercise)) == key


def test_record_key_knows_the_version(
    exercise: Exercise, submit: Callable[..., Submission], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version of handgrad has other keys: its answers are not taken for ours."""
    before = record_key(exercise, plan([1]), submit())
    monkeypatch.setattr(answer_record, "__version__", "99")
    assert record_key(exercise, plan([1]), submit()) != before
