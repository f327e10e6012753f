"""Another grader is another code, and not another layout or another sentence."""

from pathlib import Path

import pytest

from handgrad.course.course import Course
from handgrad.course.workers import task
from handgrad.grading.code_digest import code_digest
from handgrad.notebook.syntax import code_of

CODE = '''"""A module."""
LIMIT = 3
"""Its limit."""


def double(x: int) -> int:
    """Twice as much."""
    # a reason
    return 2 * x
'''


def test_what_code_does() -> None:
    """Comments, docstrings and lines do not count; a number and a name do."""
    same = "LIMIT = 3\n\n\n\ndef double(\n  x: int) -> int:\n    'other words'\n    return (2 * x)"
    assert code_of(CODE) == code_of(same)
    for old, new in (("LIMIT = 3", "LIMIT = 4"), ("2 * x", "3 * x"), ("double", "twice"), ("x: int", "x: int = 1")):
        assert code_of(CODE.replace(old, new)) != code_of(CODE)


def test_the_grader_has_a_digest() -> None:
    """It is the same each time."""
    assert code_digest() == code_digest.__wrapped__()
    assert len(code_digest()) == 64


def test_it_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A course remembers the digest of the files that it was computed for; a dry run reads it and writes nothing."""
    (tmp_path / "nbgrader_config.py").touch()
    course, computed = Course.at(tmp_path), []
    monkeypatch.setattr(task, "code_digest", lambda: computed.append(1) or f"code {len(computed)}")
    assert task._code_digest(course, keep=False) == "code 1"
    assert not (tmp_path / ".handgrad").exists()
    assert [task._code_digest(course, keep=keep) for keep in (True, True, False)] == ["code 2"] * 3
    monkeypatch.setattr(task, "bytes_digest", lambda: "others")
    assert task._code_digest(course, keep=False) == "code 3"
    (tmp_path / ".handgrad/code.json").write_text("[]")
    assert task._code_digest(course, keep=True) == "code 4"
