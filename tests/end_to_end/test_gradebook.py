"""What `handgrad grade` leaves behind: the same rows and files as nbgrader's own command."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbgrader.api import Gradebook

from benchmarks.postgresql import BINARIES, server
from handgrad.authoring.cases import read_cases
from handgrad.course.commands.grade_class import grade_class, stored_reports
from handgrad.course.course import Course
from helpers.paths import ENVIRONMENT, MISTAKES, ROOT

pytestmark = pytest.mark.slow

SETTINGS = """
c.Handgrad.seeds = [5]
c.Handgrad.cell_seconds = 6.0
c.LateSubmissionPlugin.penalty_method = "zero"
"""
SAMPLES = [case for case in read_cases(MISTAKES) if case.student and case.name != "infinite-loop"]


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """Address of a fresh PostgreSQL database, of a server of its own that listens on a socket in a folder only."""
    if BINARIES is None:
        pytest.skip("there is no PostgreSQL server: install Debian's package postgresql")
    with server(durable=False) as started:
        yield started.address()


def make_course(folder: Path, database: str) -> Course:
    """A course with the sample class: some are late, one handed in a file of their own, one a link."""
    for kind in ("source", "release", "solutions"):
        shutil.copytree(ROOT / kind, folder / kind)
    config = (ROOT / "nbgrader_config.py").read_text(encoding="utf-8")
    text = f"{config}{SETTINGS}c.CourseDirectory.db_url = {database!r}\n"
    (folder / "nbgrader_config.py").write_text(text, encoding="utf-8")
    release, solution = (
        nbformat.read(folder / kind / "backprop" / "backprop.ipynb", as_version=4) for kind in ("release", "solutions")
    )
    for number, case in enumerate(SAMPLES):
        place = folder / "submitted" / str(case.student) / "backprop"
        place.mkdir(parents=True)
        (place / "backprop.ipynb").write_bytes(case.content(release, solution))
        if number % 3 == 0:
            (place / "timestamp.txt").write_text(f"2026-0{1 + number % 2}-15 12:00:00 UTC\n", encoding="utf-8")
        if number == 1:
            (place / "notes").mkdir()
            (place / "notes" / "mine.txt").write_text("my own", encoding="utf-8")
            (place / "names.txt").write_text("not the instructor's", encoding="utf-8")
    return Course.at(folder)


@contextmanager
def opened(course: Course) -> Iterator[Gradebook]:
    """The course's gradebook."""
    section = course.config.CourseDirectory
    with Gradebook(section.db_url, section.course_id) as gradebook:
        yield gradebook


def nbgrader(course: Course, *arguments: str) -> None:
    """Run one of nbgrader's commands in the course; it must succeed."""
    command = ["nbgrader", *arguments]
    done = subprocess.run(command, cwd=course.root, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def by_nbgrader(course: Course) -> None:
    """Grade the class with nbgrader's command."""
    nbgrader(course, "autograde", "backprop", "--force")


def by_handgrad(course: Course) -> None:
    """Grade the class with ours."""
    grade_class(course, "backprop", force=True, feedback=False)


def rows(course: Course) -> list[dict[str, Any]]:
    """Everything that the gradebook says of the assignment's submissions, without the random ids."""
    with opened(course) as gradebook:
        found: list[dict[str, Any]] = []
        for submission in gradebook.assignment_submissions("backprop"):
            found.append({**submission.to_dict(), "late": submission.late_submission_penalty})
            for notebook in submission.notebooks:
                found.append({**notebook.to_dict(), "late": notebook.late_submission_penalty})
                found += [{**grade.to_dict(), "score": grade.score} for grade in notebook.grades]
                found += [{**comment.to_dict(), "comment": comment.comment} for comment in notebook.comments]
        found += [student.to_dict() for student in gradebook.students]
        found += [cell.to_dict() for cell in gradebook.find_notebook("backprop", "backprop").source_cells]
    return sorted(({**row, "id": "" if len(str(row["id"])) == 32 else row["id"]} for row in found), key=repr)


def files(course: Course) -> dict[str, Any]:
    """What stands in ``autograded/``: each file's permissions and content, a notebook as data."""
    found = {}
    for path in sorted((course.root / "autograded").rglob("*")):
        if path.is_file():
            data = nbformat.read(path, as_version=4) if path.suffix == ".ipynb" else path.read_bytes()
            found[str(path.relative_to(course.root))] = (path.stat().st_mode, data)
    return found


def graded_twice(folder: Path, database: str, grade: Callable[[Course], None]) -> Course:
    """A course that is released with a due date and graded, partly graded by hand, and graded again."""
    course = make_course(folder, database)
    nbgrader(course, "generate_assignment", "backprop", "--force")
    with opened(course) as gradebook:
        gradebook.update_or_create_assignment("backprop", duedate="2026-01-20 12:00:00 UTC")
    grade(course)
    first, second, *_ = sorted(path.name for path in (course.root / "submitted").iterdir())
    with opened(course) as gradebook:
        by_hand = gradebook.find_grade("check_dprobs", "backprop", "backprop", first)
        by_hand.manual_score, by_hand.needs_manual_grade = 0.25, False
        extra = gradebook.find_grade("check_dh", "backprop", "backprop", second)
        extra.extra_credit = 2.0
        remark = gradebook.find_comment("dprobs", "backprop", "backprop", second)
        remark.manual_comment = "an instructor's word"
        gradebook.db.commit()
    grade(course)
    return course


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """A course that our command has graded."""
    folder = tmp_path_factory.mktemp("ours")
    return graded_twice(folder, f"sqlite:///{folder}/gradebook.db", by_handgrad)


@pytest.fixture(scope="module")
def both(ours: Course, tmp_path_factory: pytest.TempPathFactory) -> tuple[Course, Course]:
    """Two courses alike, one graded by nbgrader's command and one by ours."""
    folder = tmp_path_factory.mktemp("theirs")
    return graded_twice(folder, f"sqlite:///{folder}/gradebook.db", by_nbgrader), ours


def test_same_rows(both: tuple[Course, Course]) -> None:
    """Every row is the same: scores, comments, manual grades, what needs manual grading, times and penalties.

    But for one thing: nbgrader asks for another look at a manual score whenever it grades again, handgrad only if
    something else was handed in or the automatic score has changed.
    """
    theirs, ours = map(rows, both)
    assert len(theirs) > len(SAMPLES) * 50
    by_hand = {row["student"] for row in theirs if row.get("manual_score") is not None}
    assert by_hand
    assert any(row.get("manual_score") == 0.25 and row["needs_manual_grade"] for row in theirs)
    assert not any(row.get("manual_score") == 0.25 and row["needs_manual_grade"] for row in ours)
    for row in (*theirs, *ours):
        if row.get("student") in by_hand:
            row.pop("needs_manual_grade", None)
    assert sorted(ours, key=repr) == sorted(theirs, key=repr)
    assert any(row.get("late") for row in ours)


def test_same_files(both: tuple[Course, Course]) -> None:
    """Every file in ``autograded/`` is the same, notebooks cell by cell, permissions included."""
    theirs, ours = map(files, both)
    assert theirs.keys() == ours.keys()
    for name, content in theirs.items():
        assert ours[name] == content, name


def test_no_journal_is_left(ours: Course) -> None:
    """What SQLite needs while a class is graded is gone afterwards."""
    assert sorted(path.name for path in ours.root.glob("gradebook.db*")) == ["gradebook.db"]
    assert sorted(path.name for path in ours.private_folder.glob("answers.sqlite*")) == ["answers.sqlite"]


def test_same_reports(both: tuple[Course, Course]) -> None:
    """The reports say the same but for the time that they took."""
    theirs, ours = (
        [{**report.to_dict(), "seconds": 0} for report in stored_reports(course, "backprop")] for course in both
    )
    assert ours == theirs
    assert len(ours) == len(SAMPLES)


def test_postgresql(ours: Course, postgres: str, tmp_path: Path) -> None:
    """A gradebook in PostgreSQL holds the same rows as one in SQLite."""
    course = graded_twice(tmp_path, postgres, by_handgrad)
    assert rows(course) == rows(ours)
    assert files(course) == files(ours)
    # and nothing is done again that has not changed
    assert len(grade_class(course, "backprop", feedback=False)) == len(SAMPLES)
