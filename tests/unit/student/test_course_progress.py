"""How far a student is in a course: from the released folders and their progress files, and nothing else."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from handgrad.report.records import Report, Verdict
from handgrad.student import progress_file
from handgrad.student.course_progress import course_progress, html, next_exercise, note_check, text
from handgrad.student.progress_file import FILE
from helpers.paths import ENVIRONMENT


def release(folder: Path, name: str, answers: Sequence[str], facts: Mapping[str, Any] | None = None) -> Path:
    """A released folder: answers that begin with a d are gradients, others are values."""
    cells = [
        {
            "cell_type": "code",
            "source": [f"cmp('{answer[1:]}', {answer}, {answer[1:]})" if answer[0] == "d" else "assert True"],
            "metadata": {"nbgrader": {"grade": True, "grade_id": f"check_{answer}"}},
        }
        for answer in answers
    ]
    metadata = {} if facts is None else {"handgrad": facts}
    data = {"schema": 1, "name": name, "notebook": {"cells": cells, "metadata": metadata}}
    (folder / name).mkdir(parents=True)
    (folder / name / "exercise.json").write_text(json.dumps(data), encoding="utf-8")
    return folder / name


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """Three exercises, of which two build on the first, and one without metadata."""
    release(tmp_path, "second", ["dc"], {"order": 2, "after": ["first"], "minutes": 45})
    release(tmp_path, "first", ["da", "db"], {"order": 1, "after": ["not there"], "minutes": 30})
    release(tmp_path, "third", ["W"], {"order": 3, "after": ["first", "second"]})
    release(tmp_path, "a_free_one", ["dx"])
    return tmp_path


def write(folder: Path, tensors: Sequence[str], right: Sequence[str]) -> None:
    """The progress file as `cmp` writes it."""
    record = {"tensors": sorted(tensors), "right": dict.fromkeys(right, "2026-01-01T20:00:00"), "asked": {}}
    (folder / FILE).write_text(json.dumps({"schema": 1, "exercises": [record]}), encoding="utf-8")


def test_order_and_next(course: Path) -> None:
    """Exercises come in their order; the next one is begun, or its prerequisites are done."""
    found = course_progress(course)
    assert [exercise.name for exercise in found] == ["first", "second", "third", "a_free_one"]
    assert text(found) == (
        "0 of 4 exercises done. Next: first.\n"
        "\u2192 first         0 of 2   30 min  after not there\n"
        "\u00b7 second        0 of 1   45 min  after first\n"
        "\u00b7 third         0 of 1           after first, second\n"
        "\u00b7 a_free_one    0 of 1"
    ).replace("  after not there", "")
    write(course / "first", ["a", "b", "given"], ["da"])
    following = next_exercise(course_progress(course))
    assert following is not None
    assert (following.name, following.right) == ("first", 1)
    assert "Go on with first." in text(course_progress(course))
    write(course / "first", ["a", "b", "given"], ["da", "db"])
    assert text(course_progress(course)).startswith("1 of 4 exercises done. Next: second.\n\u2713 first")
    assert "<summary" in html(course_progress(course))


def test_the_same_from_inside(course: Path) -> None:
    """From the folder of one exercise, those beside it are found; from a folder without any, none."""
    inside = course_progress(course / "first")
    assert [exercise.name for exercise in inside] == ["first", "second", "third", "a_free_one"]
    (course / "empty").mkdir()
    assert course_progress(course / "empty") == []


def test_a_check_is_noted(course: Path) -> None:
    """What was right in `handgrad check` counts, also values; but not elsewhere, nor in an instructor's course."""
    checks = (Verdict("check_W", "W", "passed", 1.0, 1.0),)
    report = Report("third", "third", "graded", "1", checks=checks)
    note_check(course / "first", report)
    assert not (course / "first" / FILE).exists()
    note_check(course / "third", report)
    assert [exercise.right for exercise in course_progress(course)] == [0, 0, 1, 0]
    # what cmp notes afterwards keeps it
    write(course / "first", ["a", "b"], ["da"])
    progress_file.checked(course / "first", "first", ["db"])
    assert course_progress(course)[0].is_done
    (course / "nbgrader_config.py").write_text("")
    note_check(course / "second", Report("second", "second", "graded", "1", checks=checks))
    assert not (course / "second" / FILE).exists()


def test_whatever_is_in_the_files(course: Path) -> None:
    """Files that are broken, or somebody's own, are left out, and raise nothing."""
    for number, content in enumerate(("", "[]", '{"notebook": 5}', '{"name": "x", "notebook": {"cells": [{}]}}', "\0")):
        folder = course / f"broken{number}"
        folder.mkdir()
        (folder / "exercise.json").write_text(content, encoding="utf-8")
    for content in ("[]", '{"schema": 1, "exercises": 3, "checked": 7}', '{"schema": 9}', "{"):
        (course / "first" / FILE).write_text(content, encoding="utf-8")
        assert len(course_progress(course)) == 4


def test_the_command(course: Path) -> None:
    """`handgrad progress` prints the course, and says what it looks for if there is none."""
    (course / "empty").mkdir()
    shown, none = (
        subprocess.run(
            ["handgrad", "progress", folder], check=False, capture_output=True, text=True, cwd=course, env=ENVIRONMENT
        )
        for folder in (".", "empty")
    )
    assert shown.stdout.startswith("0 of 4 exercises done. Next: first.\n")
    assert none.returncode == 2
    assert "Each has a file exercise.json." in none.stderr
