"""`handgrad grade --dry-run`: who would get what and why, and not a byte is written; and reports that still hold."""

import hashlib
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
import torch
from nbgrader.api import Gradebook

from handgrad.course.commands.export_scores import export
from handgrad.course.commands.grade_class import grade_class, stored_reports, what_would_change
from handgrad.course.course import Course
from handgrad.report.class_terminal import dry_run_table
from handgrad.report.records import GradeChange
from handgrad.student.installation import TRIED
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


@pytest.fixture(scope="module")
def graded_once(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """The same course, graded."""
    course = make_course(tmp_path_factory.mktemp("graded") / "course", s01=RIGHT, s02=SLIP, s03=UNTOUCHED)
    grade(course, feedback=True)
    return course


@pytest.fixture
def graded(graded_once: Course, tmp_path: Path) -> Course:
    """A copy of the graded course."""
    return Course.at(shutil.copytree(graded_once.root, tmp_path / "course"))


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


def test_what_has_changed(graded: Course) -> None:
    """Only what would be graded again is run; its reason, the old and the new score stand in the table."""
    course = graded
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


def test_other_settings(graded: Course) -> None:
    """Another share of the points is another report; a manual score that stays is named."""
    course = graded
    with Gradebook(f"sqlite:///{course.root}/gradebook.db", course_id="handgrad") as gradebook:
        gradebook.find_grade("check_dC", "backprop", "backprop", "s02").manual_score = 0.5
        gradebook.db.commit()
    course.config.Handgrad.tolerance = 0.5
    changes = would_change(Course(course.root, course.config))
    assert {change.reason for change in changes.values()} == {"the settings of grading have changed"}
    entry = changes["s02"].entry_after
    assert entry is not None
    assert entry.by_hand == ("check_dC",)


def test_other_points_run_nothing(graded: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    """If only points have changed, the stored report has the new ones, here and in the grading that follows."""
    course = with_points(graded, 4.0)
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
    assert {report.student: report.score for report in again} == {
        name: report.score for name, report in reports.items()
    }
    assert grade(course).unchanged == 3


def test_force(graded: Course) -> None:
    """With --force everybody is run, and nothing changes where nothing has changed."""
    changes = would_change(graded, force=True)
    assert {change.reason for change in changes.values()} == {"--force"}
    assert "0 of 3 submissions would get another report or score." in dry_run_table(list(changes.values()))


@pytest.fixture
def old(tmp_path: Path) -> Course:
    """The course that was graded by an older version."""
    with tarfile.open(OLD) as archive:
        archive.extractall(tmp_path, filter="data")
    return Course.at(tmp_path)


def test_an_old_course_keeps_its_scores(old: Course) -> None:
    """It opens; the grader is another one, so it is graded again, once, and the reason is said; the scores stay."""
    expected = (old.root / "expected.csv").read_text(encoding="utf-8")
    assert export(old, "backprop", "csv").text == expected
    told = grade(old, feedback=True)
    reason = "the grader has changed: it was graded by an older version of handgrad"
    assert (told.unchanged, told.left, told.again) == (0, 3, {reason: 3})
    assert [
        row.replace(",yes,", ",no,") for row in export(old, "backprop", "csv").text.splitlines()
    ] == expected.splitlines()
    assert {report.student: report.score for report in stored_reports(old, "backprop")} == {
        "s01": 26.0,
        "s02": 25.0,
        "s03": 26.0,
    }
    assert grade(old, feedback=True).unchanged == 3


def test_nothing_is_graded_again_without_a_reason(graded: Course) -> None:
    """Texts, comments, unrelated settings, drop-outs and files of Jupyter's grade nobody again, nor reopen a score."""
    course = graded
    root = course.root
    with Gradebook(f"sqlite:///{root}/gradebook.db", course_id="handgrad") as gradebook:
        gradebook.find_grade("check_dC", "backprop", "backprop", "s02").manual_score = 0.5
        gradebook.db.commit()
    source, config = course.exercise_path("backprop"), root / "nbgrader_config.py"
    notebook = nbformat.read(source, as_version=4)
    text = next(cell for cell in notebook.cells if cell.cell_type == "markdown")
    text.source += "\n\nA typo was corrected."
    locked = next(cell for cell in notebook.cells if cell.cell_type == "code")
    locked.source += "\n# a comment"
    nbformat.write(notebook, source)
    checkpoint = source.parent / ".ipynb_checkpoints" / "backprop-checkpoint.ipynb"
    checkpoint.parent.mkdir()
    checkpoint.write_text("{}", encoding="utf-8")
    lines = """
c.CourseDirectory.course_id = "cs101"
c.CourseDirectory.student_id_exclude = "s03"
c.ExecutePreprocessor.timeout = 99
c.Handgrad.trust_submissions = True
c.Handgrad.tolerance = 1e-4
"""
    config.write_text(config.read_text(encoding="utf-8") + lines, encoding="utf-8")
    (root / "submitted/s02/backprop/timestamp.txt").write_text("2026-01-01 12:00 UTC", encoding="utf-8")
    shutil.rmtree(root / "submitted/s01")
    told = grade(Course.at(root), feedback=True)
    assert (told.unchanged, told.left, told.again) == (1, 0, {})
    with Gradebook(f"sqlite:///{root}/gradebook.db", course_id="handgrad") as gradebook:
        assert not gradebook.find_grade("check_dC", "backprop", "backprop", "s02").needs_manual_grade
    # they are still graded, and what decides a mark is a reason
    assert {report.student for report in stored_reports(course, "backprop")} == {"s01", "s02", "s03"}
    config.write_text(config.read_text(encoding="utf-8") + "c.Handgrad.tolerance = 1e-3\n", encoding="utf-8")
    assert {change.reason for change in would_change(Course.at(root)).values()} == {
        "the settings of grading have changed"
    }


@pytest.mark.slow
def test_another_grader(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another torch or another code grades again, and it is said which; another version's name does not."""
    grade(course)
    with monkeypatch.context() as patch:
        patch.setattr("handgrad.course.workers.task.__version__", "9.9")
        assert grade(course).unchanged == 3
        patch.setattr("handgrad.student.installation.installed", lambda name: "2.14.1+cpu")
        reasons = {change.reason for change in what_if(course).values()}
        assert reasons == {f"the grader has changed: torch {torch.__version__.partition('+')[0]} -> 2.14.1"}
    for name in ("bytes_digest", "code_digest"):
        monkeypatch.setattr(f"handgrad.course.workers.task.{name}", lambda: "0" * 64)
    assert {change.reason for change in would_change(course).values()} == {
        "the grader has changed: handgrad's grading code"
    }


def what_if(course: Course) -> dict[str, GradeChange]:
    """What would change, if the version of torch were one that was tried."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TRIED, "torch", ("2.13", "2.99"))
        return would_change(course)


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
