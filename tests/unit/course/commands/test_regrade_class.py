"""A class is marked again from what is stored: the same marks as a new grading gives, and no code is run."""

from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from handgrad.course.commands.grade_class import grade_class, stored_reports
from handgrad.course.commands.regrade_class import MORE, Change, regrade_class
from handgrad.course.course import Course
from handgrad.exercise.exercise import grade_id
from handgrad.grading.grader import Grader
from helpers.courses import RIGHT, SLIP, UNTOUCHED, WORKER, grade, hand_in, make_course, scores
from helpers.paths import mistake
from helpers.shortened import shortened, solved

INVISIBLE, RESHAPED = (mistake(name) for name in ("zero-db1", "no-keepdim"))


def settings(folder: Path, *lines: str) -> Course:
    """The course with further lines in its configuration."""
    path = folder / "nbgrader_config.py"
    path.write_text("\n".join([path.read_text(encoding="utf-8"), *lines, ""]), encoding="utf-8")
    return Course.at(folder)


def points(folder: Path, check: str, points: int) -> Course:
    """The course with other points for a check."""
    path = folder / "source/backprop/backprop.ipynb"
    notebook = nbformat.read(path, as_version=4)
    next(cell for cell in notebook.cells if grade_id(cell) == check).metadata.nbgrader.points = points
    nbformat.write(notebook, path)
    return Course.at(folder)


def facts(course: Course) -> dict[str, object]:
    """What is said of every student, but for how long it took."""
    return {one.student: replace(one, seconds=0.0) for one in stored_reports(course, "backprop")}


def changed(changes: list[Change]) -> dict[str, tuple[float, float]]:
    """Scores before and after, of the students whose marks change."""
    return {one.before.student: (one.before.score, one.after.score) for one in changes if one.gradients()}


def test_as_if_graded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Points and shares that change give what a new grading gives: scores, verdicts, notebooks and comments."""
    course = make_course(tmp_path, ann=RIGHT, bob=SLIP, cid=UNTOUCHED, dan=INVISIBLE, eve=RESHAPED)
    grade(course, feedback=True)
    before = scores(course)
    points(tmp_path, "check_dprobs", 3)
    course = settings(tmp_path, "c.Handgrad.partial_invisible = 0.25", "c.Handgrad.partial_shape = 0.75")
    with monkeypatch.context() as patch:
        patch.setattr(Grader, "__enter__", lambda _: pytest.fail("something is run"))
        told = regrade_class(course, "backprop", dry_run=True)
        assert scores(course) == before
        done = regrade_class(course, "backprop")
    assert changed(told) == changed(done)
    assert changed(done)["dan"] == (before["dan"], before["dan"] + 2 - 0.25)
    again, files = facts(course), _autograded(tmp_path)
    assert grade(course, feedback=True).left == 0
    regraded = scores(course)
    assert grade(course, force=True, feedback=True).left == 5
    assert facts(course) == again
    assert scores(course) == regraded
    assert _autograded(tmp_path) == files
    assert changed(regrade_class(course, "backprop")) == {}


def _autograded(folder: Path) -> dict[str, list[tuple[str, object, object]]]:
    """The autograded notebooks: ids, points and outputs of their cells."""
    return {
        path.parent.parent.name: [
            (grade_id(cell), cell.metadata.get("nbgrader", {}).get("points"), cell.get("outputs"))
            for cell in nbformat.read(path, as_version=4).cells
        ]
        for path in sorted((folder / "autograded").glob("*/backprop/backprop.ipynb"))
    }


def test_tolerance(tmp_path: Path) -> None:
    """With a tolerance that rounding exceeds, answers fail and say why; with the old one they are right again."""
    course = make_course(tmp_path, ann=SLIP, cid=UNTOUCHED)
    grade(course)
    before = scores(course)
    course = settings(tmp_path, "c.Handgrad.tolerance = 1e-9")
    changes = changed(regrade_class(course, "backprop"))
    assert list(changes) == ["ann"]
    assert changes["ann"][1] < before["ann"]
    report = facts(course)["ann"]
    failed = [one for one in report.checks if "is not right within 1e-09 of the scale" in one.message]  # type: ignore[attr-defined]
    assert failed
    assert all(one.outcome == "failed" for one in failed)
    assert scores(course) == {"ann": changes["ann"][1], "cid": 0.0}
    course = settings(tmp_path, "c.Handgrad.tolerance = 1e-4")
    assert changed(regrade_class(course, "backprop")) == {"ann": (changes["ann"][1], before["ann"])}


def test_a_smaller_tolerance_may_ask_for_more(tmp_path: Path) -> None:
    """What was right in its step ran in no further pass, and says so where that is asked for now; grading runs it."""
    course = make_course(tmp_path, ann=RIGHT)
    grade(course)
    course = settings(tmp_path, "c.Handgrad.tolerance = 1e-3")
    assert [one.obstacle for one in regrade_class(course, "backprop")] == [""]
    course = settings(tmp_path, "c.Handgrad.tolerance = 1e-9")
    assert [one.obstacle for one in regrade_class(course, "backprop")] == [MORE]
    assert scores(course) == {"ann": 26.0}
    assert grade(course).left == 1
    assert scores(course)["ann"] < 26.0


def test_manual_scores_stay(tmp_path: Path) -> None:
    """A score by hand stays, and needs manual review again."""
    course = make_course(tmp_path, ann=SLIP)
    grade(course)
    with Gradebook(f"sqlite:///{tmp_path / 'gradebook.db'}", "handgrad") as gradebook:
        gradebook.find_grade("check_dlogprobs", "backprop", "backprop", "ann").manual_score = 0.75
        gradebook.db.commit()
    regrade_class(points(tmp_path, "check_dprobs", 2), "backprop")
    with Gradebook(f"sqlite:///{tmp_path / 'gradebook.db'}", "handgrad") as gradebook:
        kept = gradebook.find_grade("check_dlogprobs", "backprop", "backprop", "ann")
        assert (kept.manual_score, kept.needs_manual_grade) == (0.75, True)


def test_what_is_stored_must_hold(tmp_path: Path) -> None:
    """Another notebook, other seeds or a lost file are said, and change nothing."""
    course = make_course(tmp_path, ann=RIGHT, bob=RIGHT, cid=RIGHT)
    grade(course)
    hand_in(tmp_path, "ann", SLIP)
    (tmp_path / "autograded/bob/backprop/backprop.ipynb").unlink()
    course = points(tmp_path, "check_dprobs", 3)
    obstacles = {one.before.student: one.obstacle for one in regrade_class(course, "backprop")}
    assert obstacles == {
        "ann": "another notebook was handed in since",
        "bob": "its autograded notebook is gone",
        "cid": "",
    }
    assert facts(course)["ann"].score == 26  # type: ignore[attr-defined]
    course = settings(tmp_path, "c.Handgrad.seeds = [7]")
    obstacles = {one.before.student: one.obstacle for one in regrade_class(course, "backprop")}
    assert obstacles["cid"] == "the exercise, its seeds or its limits have changed since"


def test_trained_values(tmp_path: Path) -> None:
    """Of an answer that is no gradient the share stays and the points change, as a new grading would have it."""
    course = make_course(tmp_path)
    source = tmp_path / "source/training/training.ipynb"
    notebook = shortened()
    nbformat.write(notebook, source)
    handed = tmp_path / "submitted/ann/training/training.ipynb"
    handed.parent.mkdir(parents=True)
    student = solved()
    nbformat.write(student, handed)
    grade_class(course, "training", executor=WORKER, workers=1, feedback=False)
    check = next(cell for cell in notebook.cells if grade_id(cell) == "check_W1")
    check.metadata.nbgrader.points += 2
    nbformat.write(notebook, source)
    (before,) = stored_reports(course, "training")
    assert before.passed
    (change,) = regrade_class(course, "training")
    assert (change.obstacle, change.after.score) == ("", before.score + 2)
    assert stored_reports(course, "training") == [change.after]
    (again,) = grade_class(course, "training", executor=WORKER, workers=1, force=True, feedback=False)
    assert replace(again, seconds=0.0) == replace(change.after, seconds=0.0)
