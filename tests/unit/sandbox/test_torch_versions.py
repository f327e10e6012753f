"""The versions of torch with which submissions are graded."""

import shutil
from pathlib import Path

import pytest

from handgrad.course.commands import check_notebook
from handgrad.course.course import Course
from handgrad.course.nbgrader import preprocessors
from handgrad.course.workers.task import Task
from handgrad.course.workers.worker import AssignmentWorker
from handgrad.errors import IsolationError
from handgrad.exercise.exercise import Exercise
from handgrad.sandbox import torch_versions
from helpers.paths import ROOT


def test_this_version_was_tried() -> None:
    """The version in the development environment is one that may grade."""
    assert torch_versions.why_untried() == ""
    torch_versions.refuse_untried()


@pytest.mark.parametrize("version", ["1.13.1", "2.0", "2.12.9+cu126", "2.14.0", "3.0.0a1", "unknown"])
def test_other_versions(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other version is refused with a sentence that names it, and what to install."""
    monkeypatch.setattr(torch_versions, "installed", lambda: version)
    with pytest.raises(IsolationError) as caught:
        torch_versions.refuse_untried()
    assert f"and this is torch {version}." in str(caught.value)
    assert "pip install 'torch==2.13.*'" in str(caught.value)


def test_nobody_is_graded_with_another_version(
    exercise: Exercise, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ways of grading a class refuse; a check of one's own says so and goes on."""
    monkeypatch.setattr(torch_versions, "installed", lambda: "2.99.0")
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    course = Course.at(tmp_path)
    worker = AssignmentWorker(Task.of(course, exercise, dry_run=True))
    with pytest.raises(IsolationError, match=r"nobody is graded: .* this is torch 2\.99\.0"):
        _ = worker.grader
    with pytest.raises(IsolationError, match="nobody is graded"):
        preprocessors.grader_in(course, exercise)
    preprocessors._graders.clear()
    report = check_notebook.check(ROOT / "solutions/backprop/backprop.ipynb", exercise)
    assert report.score == report.max_score
    assert "this is torch 2.99.0" in report.message
