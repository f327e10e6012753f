"""`handgrad grade --dry-run`: who would get what and why, and not a byte is written; and reports that still hold."""

import hashlib
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from handgrad.course.commands.export_scores import export
from handgrad.course.commands.grade_class import grade_class, stored_reports, what_would_change
from handgrad.course.course import Course
from handgrad.report.class_terminal import dry_run_table
from handgrad.report.records import GradeChange
from helpers.courses import RIGHT, SLIP, UNTOUCHED, grade, hand_in, make_course
from helpers.paths import TESTS

WORKER = ThreadPoolExecutor(1)
OLD = TESTS / "cases" / "courses/0.1.0.tar.xz"
"""A course that commit f2fc86e graded: its configuration, gradebook, stored reports, a manual score and a comment."""


def would_change(course: Course, **options: bool) -> dict[str, GradeChange]:
    """What a dry run says, by student."""
    changes = what_would_change(course, "backprop", executor=WORKER, workers=1, **options)
    return {change.after.student: change for change in changes}


def files(folder: Path) -> dict[str, str]:
    """Every file and folder in a course, with a digest of its content."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in folder.rglob("*")
    }


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """A course with three students."""
    return make_course(tmp_path / "course", s01=RIGHT, s02=SLIP, s03=UNTOUCHED)


def with_points(course: Course, points: float) -> Course:
    """The course, whose check of dprobs is worth other points."""
    path = course.exercise_path("backprop")
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "check_dprobs":
            cell.metadata.nbgrader.points = points
    nbformat.write(notebook, path)
    return Course.at(course.root)


def test_a_class_that_was_never_graded(course: Course) -> None:
    """Everybody's report is new; no gradebook, no seeds and no folder come into being."""
    course = Course(course.root, course.config)
    course.config.Handgrad.pop("seeds")
    before = files(course.root)
    changes = would_change(course)
    assert files(course.root) == before
    assert {name: (change.before, change.reason) for name, change in changes.items()} == dict.fromkeys(
        ("s01", "s02", "s03"), (None, "not graded yet")
    )
    assert changes["s01"].after.score == 26.0
    table = dry_run_table(list(changes.values()))
    assert "3 of 3 submissions would get another report or score." in table
    assert "Nothing was written." in table


def test_what_has_changed(course: Course) -> None:
    """Only what would be graded again is run; its reason, the old and the new score stand in the table."""
    grade(course, feedback=True)
    hand_in(course.root, "s03", RIGHT)
    before = files(course.root)
    changes = would_change(course)
    assert files(course.root) == before
    assert {name: change.reason for name, change in changes.items()} == {
        "s01": "",
        "s02": "",
        "s03": "another notebook was handed in",
    }
    assert changes["s01"].before is changes["s01"].after
    assert changes["s03"].gradients()["dC"] == ("missing, 0", "passed, 1")
    table = dry_run_table(list(changes.values()))
    assert "1 of 3 submissions would get another report or score." in table
    assert "0 of 26" in table
    assert "s01" not in table


def test_other_settings(course: Course) -> None:
    """Another share of the points is another report; a manual score that stays is named."""
    grade(course, feedback=True)
    with Gradebook(f"sqlite:///{course.root}/gradebook.db", course_id="handgrad") as gradebook:
        gradebook.find_grade("check_dC", "backprop", "backprop", "s02").manual_score = 0.5
        gradebook.db.commit()
    course.config.Handgrad.tolerance = 0.5
    changes = would_change(Course(course.root, course.config))
    assert {change.reason for change in changes.values()} == {"the exercise, its seeds or its settings have changed"}
    entry = changes["s02"].entry_after
    assert entry is not None
    assert entry.by_hand == ("check_dC",)


def test_other_points_run_nothing(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    """If only points have changed, the stored report has the new ones, here and in the grading that follows."""
    grade(course, feedback=True)
    course = with_points(course, 4.0)
    before = files(course.root)

    def nobody(*_: object) -> None:
        raise AssertionError("a submission was run")

    with monkeypatch.context() as patch:
        patch.setattr("handgrad.course.workers.worker.grade", nobody)
        changes = would_change(course)
        assert files(course.root) == before
        assert {change.reason for change in changes.values()} == {"the points of the checks have changed"}
        assert changes["s01"].gradients() == {"dprobs": ("passed, 1 of 1", "passed, 4 of 4")}
        reports = {report.student: report for report in grade_class(course, "backprop", executor=WORKER, workers=1)}
    assert {name: report.score for name, report in reports.items()} == {
        name: change.after.score for name, change in changes.items()
    }
    assert reports["s01"].score == reports["s01"].max_score == 29.0
    rows = export(course, "backprop", "csv").text.splitlines()
    assert rows[1].split(",")[5:7] == ["29", "29"]
    page = (course.root / "feedback/s01/backprop/backprop.html").read_text(encoding="utf-8")
    assert "29" in page
    # it is what a grading from the beginning gives
    again = grade_class(course, "backprop", executor=WORKER, workers=1, force=True)
    assert {report.student: report.score for report in again} == {n: one.score for n, one in reports.items()}
    assert grade(course).unchanged == 3


def test_force(course: Course) -> None:
    """With --force everybody is run, and nothing changes where nothing has changed."""
    grade(course)
    changes = would_change(course, force=True)
    assert {change.reason for change in changes.values()} == {"--force"}
    assert "0 of 3 submissions would get another report or score." in dry_run_table(list(changes.values()))


@pytest.fixture
def old(tmp_path: Path) -> Course:
    """The course that was graded by an older version."""
    with tarfile.open(OLD) as archive:
        archive.extractall(tmp_path, filter="data")
    return Course.at(tmp_path)


def test_an_old_course_is_not_graded_again(old: Course) -> None:
    """Its reports still hold, its scores are exported as they were, and the stored answers are gone."""
    expected = (old.root / "expected.csv").read_text(encoding="utf-8")
    assert export(old, "backprop", "csv").text == expected
    told = grade(old, feedback=True)
    assert (told.unchanged, told.left) == (3, 0)
    assert export(old, "backprop", "csv").text == expected
    assert {report.student: report.score for report in stored_reports(old, "backprop")} == {
        "s01": 26.0,
        "s02": 25.0,
        "s03": 26.0,
    }


def test_manual_scores_of_an_old_course_stay(old: Course) -> None:
    """Graded again, a student keeps the manual score, the extra credit and the comment; they ask to be reviewed."""
    expected = (old.root / "expected.csv").read_text(encoding="utf-8")
    grade(old, force=True, feedback=True)
    assert [
        row.replace(",yes,", ",no,") for row in export(old, "backprop", "csv").text.splitlines()
    ] == expected.splitlines()
    with Gradebook(f"sqlite:///{old.root}/gradebook.db", course_id="handgrad") as gradebook:
        score = gradebook.find_grade("check_dcounts", "backprop", "backprop", "s02")
        assert (score.manual_score, score.auto_score) == (0.75, 0.0)
        assert score.needs_manual_grade
        comment = gradebook.find_comment("dcounts", "backprop", "backprop", "s02")
        assert comment.manual_comment == "We spoke about this one."
    page = (old.root / "feedback/s02/backprop/backprop.html").read_text(encoding="utf-8")
    assert "We spoke about this one." in page
