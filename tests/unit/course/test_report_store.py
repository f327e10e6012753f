"""The stored reports of a course."""

import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from handgrad.course.report_store import ReportStore
from handgrad.errors import CourseError
from handgrad.report.records import Report, Verdict

REPORT = Report("backprop", "backprop", "graded", "0.1.0", student="s01")


@pytest.fixture
def store(tmp_path: Path) -> ReportStore:
    """An empty store."""
    return ReportStore(tmp_path / "answers.sqlite")


def test_the_log_stays_while_a_class_is_graded(store: ReportStore) -> None:
    """One file for many reports, which another command reads at once, and no file but the store after the last."""
    log = store.path.with_name(f"{store.path.name}-wal")
    with store.held_open():
        store.put(REPORT)
        first = log.stat()
        store.put(replace(REPORT, student="s02"))
        assert log.stat().st_ino == first.st_ino
        assert not store.path.with_name(f"{store.path.name}-journal").exists()
        assert len(ReportStore(store.path).reports("backprop")) == 2
    assert list(store.path.parent.iterdir()) == [store.path]
    assert len(store.reports("backprop")) == 2


def test_a_process_that_is_killed_loses_no_report(store: ReportStore) -> None:
    """What was stored before the process was killed is there for the next command, and the store works as before."""
    script = f"""
import os, signal
from pathlib import Path
from handgrad.course.report_store import ReportStore
from handgrad.report.records import Report
store = ReportStore(Path({str(store.path)!r}))
with store.held_open():
    for number in range(100):
        store.put(Report("backprop", "backprop", "graded", "0.1.0", student=f"s{{number:02}}"))
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    assert len(store.reports("backprop")) == 100
    with store.held_open():
        store.put(replace(REPORT, student="new"))
    assert list(store.path.parent.iterdir()) == [store.path]
    assert len(store.reports("backprop")) == 101


def test_a_database_in_another_mode_is_left_so(store: ReportStore) -> None:
    """Write-ahead logging was somebody's choice."""
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    with store.held_open():
        store.put(REPORT)
    with closing(sqlite3.connect(store.path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_reading_makes_no_file(store: ReportStore) -> None:
    """An assignment that was never graded has no reports, and no file for them."""
    assert store.reports("nothing") == []
    assert store.states("nothing") == {}
    assert not store.path.exists()


def test_reports(store: ReportStore) -> None:
    """Reports come back by student, of one assignment, the last one of each student."""
    for student in ("s10", "s02", "s01"):
        store.put(replace(REPORT, student=student, message="old"))
    store.put(replace(REPORT, assignment="other"))
    store.put(replace(REPORT, student="s02", message="new ünï"), "state")
    found = store.reports("backprop")
    assert [(report.student, report.message) for report in found] == [
        ("s01", "old"),
        ("s02", "new ünï"),
        ("s10", "old"),
    ]
    verdict = Verdict("check_dC", "dC", "failed", 0.0, 1.0, message="dC is not right.")
    whole = replace(REPORT, student="s03", checks=(verdict,))
    store.put(whole)
    assert next(report for report in store.reports("backprop") if report.student == "s03") == whole
    assert store.states("backprop")["s02"] == ("state", "graded")


def test_reports_survive_the_process(store: ReportStore) -> None:
    """What was stored is found by another store over the same file."""
    store.put(REPORT)
    assert ReportStore(store.path).reports("backprop") == [REPORT]


def test_many_writers(store: ReportStore) -> None:
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


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """A file that cannot be used is named."""
    path = tmp_path / "answers.sqlite"
    path.write_bytes(b"not a database, but as long as the head of one" * 100)
    with pytest.raises(CourseError, match=r"answers\.sqlite cannot be used"):
        ReportStore(path).put(REPORT)
    with pytest.raises(CourseError, match=r"answers\.sqlite cannot be used"):
        ReportStore(path).reports("backprop")


def test_stored_answers_go(store: ReportStore) -> None:
    """A store of version 0.1.0 keeps its reports and loses its tables of answers."""
    store.put(REPORT)
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("CREATE TABLE answer (digest TEXT)")
        connection.execute("CREATE TABLE record (key TEXT)")
    assert store.reports("backprop") == [REPORT]
    with store.held_open():
        pass
    with closing(sqlite3.connect(store.path)) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    assert tables == ["report", "accepted", "replaced"]
    assert store.reports("backprop") == [REPORT]


def with_points(points: float, student: str = "s01", outcome: str = "graded") -> Report:
    """A report with one gradient of four points."""
    check = Verdict("check_dC", "dC", "passed" if points == 4 else "partial", points, 4.0)
    return replace(REPORT, student=student, checks=(check,) if outcome == "graded" else (), outcome=outcome)


def test_what_a_resubmission_replaces_is_kept(store: ReportStore) -> None:
    """Another hand-in with another result leaves the older report; grading the same again leaves none."""
    for points, state in ((1, "a x y"), (1, "a x z"), (2, "a z z"), (2, "b z z"), (3, "c z z"), (4, "d z z")):
        store.put(with_points(points), state)
    store.put(with_points(1, "s02"), "a x y")
    assert {student: [report.score for report in found] for student, found in store.replaced("backprop").items()} == {
        "s01": [2, 3]
    }
    assert [report.score for report in store.reports("backprop")] == [4, 1]
    assert store.replaced("other") == {}


def test_a_grader_that_failed_replaces_nothing(store: ReportStore) -> None:
    """A failure between two gradings of one hand-in leaves no trace; before another hand-in it loses no report."""
    failed = with_points(0, outcome="not-graded")
    for report, state in ((with_points(2), "a x y"), (failed, ""), (failed, ""), (with_points(2), "a x y")):
        store.put(report, state)
    assert store.replaced("backprop") == {}
    for report, state in ((failed, ""), (with_points(3), "b x y")):
        store.put(report, state)
    assert [report.score for report in store.replaced("backprop")["s01"]] == [2]


def test_without_digests_the_results_decide(store: ReportStore) -> None:
    """nbgrader's own command stores no digests: a report with another result is another hand-in."""
    for points in (1, 1, 3):
        store.put(with_points(points))
    assert [report.score for report in store.replaced("backprop")["s01"]] == [1]


def test_an_old_store_opens(store: ReportStore) -> None:
    """A file of version 0.1.0 has no place for replaced reports: it is read as it is, and gets one when written to."""
    store.put(with_points(1), "a x y")
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("DROP TABLE replaced")
    assert store.replaced("backprop") == {}
    assert [report.score for report in store.reports("backprop")] == [1]
    store.put(with_points(4), "b x y")
    assert [report.score for report in store.replaced("backprop")["s01"]] == [1]
    # a report that this version cannot read is replaced as ever
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("UPDATE report SET json = json_set(json, '$.schema', 0)")
    store.put(with_points(2), "c x y")
    assert [report.score for report in store.replaced("backprop")["s01"]] == [1]
