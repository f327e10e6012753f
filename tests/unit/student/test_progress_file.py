"""The progress file: what was right, what was asked for and when; never an error, never in a test or a grader."""

import json
import subprocess
import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from handgrad.student import progress_file
from handgrad.student.progress_file import FILE, asked, last_time, passed

SCRIPT = """
import torch
from handgrad import cmp, hint, progress
x = torch.ones(2, 3, requires_grad=True)
y = torch.tanh(x)
y.retain_grad()
loss = y.sum()
loss.backward(retain_graph=True)
dy = torch.ones(2, 3)
cmp('y', dy, y)
dx = dy * 2
hint('dx')
try:
    cmp('x', dx, x)
except AssertionError:
    pass
"""


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """The variables of a student's own notebook, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return vars(sys.modules["__main__"])


def _run(source: str, folder: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True, cwd=folder, env=environment or None
    )
    return done.stdout


def test_a_script_and_a_restart(tmp_path: Path) -> None:
    """`cmp` notes what passes, a help what was asked for; after a restart `progress` says how far it was."""
    (tmp_path / "work.py").write_text(SCRIPT, encoding="utf-8")
    subprocess.run([sys.executable, "work.py"], check=True, cwd=tmp_path, capture_output=True)
    (record,) = json.loads((tmp_path / FILE).read_text(encoding="utf-8"))["exercises"]
    assert record["tensors"] == ["x", "y"]
    assert set(record["right"]) == {"dy"}
    assert record["asked"] == {"dx": {"hint": 1}}
    assert datetime.now() - datetime.fromisoformat(record["right"]["dy"]) < timedelta(minutes=10)
    shown = _run("from handgrad import progress; progress()", tmp_path)
    assert shown.startswith("progress: today at ")
    assert shown.endswith(", 1 of 2 was right; run the notebook to go on.\n")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [FILE]


def test_when(main: dict[str, Any]) -> None:
    """Today, yesterday, and a date; the exercise that was used last counts."""
    passed(main, "a", ["a", "b", "c"])
    today = date.today()
    for days, words in ((0, "today at "), (1, "yesterday 1 of 3 was right"), (30, "on ")):
        said = last_time(main, today + timedelta(days=days))
        assert said
        assert said.startswith(words)
    passed(main, "z", ["z", "b"])
    assert "1 of 2" in str(last_time(main))
    asked(main, "hint", "a", ["c", "b", "a"])
    asked(main, "hint", "a", ["a", "b", "c"])
    assert "1 of 3" in str(last_time(main))
    records = json.loads(Path(FILE).read_text(encoding="utf-8"))["exercises"]
    assert [record["asked"] for record in records] == [{"da": {"hint": 2}}, {}]


def test_no_file_yet(main: dict[str, Any]) -> None:
    """Without a file nothing is known."""
    assert last_time(main) is None


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", "null", '{"schema": 2, "exercises": []}', '{"schema": 1, "exercises": [1, {"tensors": 3}]}', "\0"],
)
def test_a_file_that_is_none_of_ours(main: dict[str, Any], content: str) -> None:
    """Whatever stands in the file, nothing is raised, and the next note replaces it."""
    Path(FILE).write_text(content, encoding="utf-8")
    assert last_time(main) is None
    passed(main, "a", ["a"])
    assert "1 of 1" in str(last_time(main))


def test_a_folder_that_cannot_be_written(main: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No error, and nothing half written."""
    passed(main, "a", ["a"])
    before = Path(FILE).read_text(encoding="utf-8")

    def refuse(path: Path, target: Path) -> None:
        raise PermissionError(target)

    monkeypatch.setattr(Path, "replace", refuse)
    passed(main, "b", ["a", "b"])
    assert Path(FILE).read_text(encoding="utf-8") == before
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_folder_of_that_name(main: dict[str, Any]) -> None:
    """Something else of the file's name is left alone."""
    Path(FILE).mkdir()
    passed(main, "a", ["a"])
    assert last_time(main) is None
    assert Path(FILE).is_dir()


def test_few_exercises_are_kept(main: dict[str, Any]) -> None:
    """The file stays small."""
    for number in range(progress_file._EXERCISES + 5):
        passed(main, "a", ["a", f"b{number}"])
    assert len(json.loads(Path(FILE).read_text(encoding="utf-8"))["exercises"]) == progress_file._EXERCISES


def test_not_in_a_test_or_grader(main: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Other variables than those of a notebook, and nbgrader's own runs, write nothing."""
    passed({"x": 1}, "a", ["a"])
    asked({"x": 1}, "hint", "a", ["a"])
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    passed(main, "a", ["a"])
    assert list(tmp_path.iterdir()) == []


def test_silence(tmp_path: Path) -> None:
    """In the sandbox nothing is written, and what the helps need is not even imported."""
    silent = SCRIPT.replace(
        "import torch\n", "import torch\nfrom handgrad.student.check import silence\nsilence()\n", 1
    )
    silent += "import sys\nassert 'handgrad.student.helps.forward_code' not in sys.modules\n"
    assert _run(silent, tmp_path) == ""
    assert list(tmp_path.iterdir()) == []
