"""`handgrad check` on notebooks of people's own, in the sandbox: the command, its report, and who must not use it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from handgrad.course.commands.check_notebook import check_own, exercise_for, is_own
from handgrad.errors import RenameError, SubmissionError
from handgrad.notebook.reading import parse_script, read_notebook
from helpers.own_notebooks import OWN
from helpers.paths import NOTEBOOKS, ROOT

NETWORK = """
import torch
x = torch.ones(3, 2)
w = torch.ones(2, requires_grad=True)
y = x @ w
loss = (y**2).sum()
loss.backward()
"""


def _write(folder: Path, *sources: str) -> Path:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    path = folder / "mine.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def _check(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "handgrad.cli", "check", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "120"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_report(tmp_path: Path) -> None:
    """The table has tensor, variable, place and result; the exit status says whether all is right."""
    path = _write(tmp_path, NETWORK, "dy = 2 * y\ndw = x.T @ dy", "print(torch.equal(dw, w.grad))")
    done = _check(path, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "tensor  your variable  where" in done.stdout
    assert "✓ passed  w       dw             cell 2, line 2" in done.stdout
    assert "Checked against your notebook's own forward pass" in done.stdout
    assert "Isolation: full" in done.stdout or "Isolation: partial" in done.stdout
    path = _write(tmp_path, NETWORK, "dy = y\ndw = x.T @ dy")
    done = _check(path, "--format", "json", folder=tmp_path)
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert report["forward_pass"] == "own"
    assert {verdict["tensor"]: verdict["outcome"] for verdict in report["checks"]} == {"y": "failed", "w": "passed"}


@pytest.mark.parametrize(
    "path",
    [OWN / "renamed_lecture.py", pytest.param(NOTEBOOKS / "colab.ipynb", marks=pytest.mark.slow)],
    ids=["renamed", "as it is"],
)
def test_an_exercise_is_recognised(path: Path) -> None:
    """A notebook of the lecture's network has the exercise's 26 rows, under any names."""
    report = check_own(path)
    assert report.assignment == "backprop"
    assert (report.score, len(report.checks)) == (26, 26)


def test_a_release_is_marked_as_one() -> None:
    """A release, and an export of it, is no notebook of one's own."""
    for path in (ROOT / "release/backprop/backprop.ipynb", ROOT / "solutions/batch_norm/batch_norm.ipynb"):
        notebook = read_notebook(path)
        assert not is_own(notebook, exercise_for(path, notebook))
        exported = parse_script(
            "\n".join(f"# %%\n{cell.source}" for cell in notebook.cells if cell.cell_type == "code")
        )
        assert not is_own(exported, exercise_for(path, exported))


@pytest.mark.parametrize(
    "options",
    [
        ("--format", "gradescope"),
        pytest.param(
            ("--exercise", ROOT / "release/backprop/exercise.json", "--format", "json"), marks=pytest.mark.slow
        ),
    ],
    ids=["service", "exercise"],
)
def test_a_service_marks_against_the_exercise(options: tuple[str | Path, ...], tmp_path: Path) -> None:
    """With a service's format or an exercise, a forward pass of one's own earns nothing."""
    answers = "\n".join(f"d{name} = torch.ones_like({name})" for name in ("probs", "counts", "logits", "h"))
    names = "probs, counts, logits, h"
    path = _write(
        tmp_path,
        f"import torch\n{names} = (torch.ones(2, requires_grad=True) for _ in range(4))\n"
        f"loss = sum(x.sum() for x in ({names}))\nloss.backward()",
        answers,
    )
    assert check_own(path).score == 4
    done = _check(path, *options, folder=tmp_path)
    assert json.loads(done.stdout)["score"] == 0


def test_files_and_options(tmp_path: Path) -> None:
    """Files beside the notebook, modules among them, are there, and others with --data; a bad option is a sentence."""
    (tmp_path / "layers.py").write_text("def double(x):\n    return 2 * x\n", encoding="utf-8")
    elsewhere = tmp_path / "far" / "numbers.csv"
    elsewhere.parent.mkdir()
    elsewhere.write_text("1,2", encoding="utf-8")
    folder = tmp_path / "here"
    folder.mkdir()
    (tmp_path / "layers.py").rename(folder / "layers.py")
    path = _write(
        folder,
        "import torch\nfrom layers import double\nnames = open('/content/names.txt').read().split()",
        "w = torch.tensor([float(n) for n in open('numbers.csv').read().split(',')], requires_grad=True)\n"
        "y = double(w)\nloss = (y * len(names)).sum()\nloss.backward()",
        "g1 = torch.full((2,), float(len(names)))\ndw = 2 * g1",
    )
    with pytest.raises(SubmissionError, match=r"numbers\.csv is not here, .* --data FILE"):
        check_own(path)
    report = check_own(path, ["g1=y"], [elsewhere])
    assert {verdict.tensor: verdict.outcome for verdict in report.checks} == {"y": "passed", "w": "passed"}
    with pytest.raises(RenameError, match="the notebook has no g2"):
        check_own(path, ["g2=y"])
    with pytest.raises(SubmissionError, match="there is no such file"):
        check_own(path, data=[tmp_path / "nothing"])


def test_a_cell_that_ends_python(tmp_path: Path) -> None:
    """A cell that ends the process is left out, and named; the rest is checked."""
    path = _write(tmp_path, NETWORK, "import os\nos._exit(3)", "dy = 2 * y")
    report = check_own(path)
    assert report.checks[0].outcome == "passed"
    assert "cell 2, line 1: EndedPython" in report.message


def test_what_a_notebook_may_send(tmp_path: Path) -> None:
    """The notebook is isolated: no file outside its folder, no network, no new process."""
    path = _write(
        tmp_path,
        NETWORK,
        "dy = 2 * y\nimport socket, os\nsocket.create_connection(('127.0.0.1', 9))",
        f"open({str(ROOT / 'pyproject.toml')!r}).read()",
        "os.fork()",
    )
    report = check_own(path)
    if report.isolation == "none":
        pytest.skip("this machine offers no isolation")
    assert report.checks[0].outcome == "passed"
    for cell in ("cell 2, line 3", "cell 3, line 1", "cell 4, line 1"):
        assert cell in report.message
