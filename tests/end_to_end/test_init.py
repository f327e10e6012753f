"""From an empty folder to a graded class, with handgrad installed from a wheel and no clone at hand."""

import json
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import nbformat
import pytest

from handgrad.exercise.release_file import WHEEL
from helpers.courses import RIGHT, SLIP, UNTOUCHED
from helpers.paths import ENVIRONMENT, ROOT

FORWARD = """
import torch

seed = 3
g = torch.Generator().manual_seed(seed)
x = torch.randn((4, 3), generator=g)
w = torch.randn((3, 2), generator=g, requires_grad=True)
h = x @ w
loss = h.square().mean()
"""


@pytest.mark.slow
def test_a_course_without_a_clone(tmp_path: Path) -> None:
    """`handgrad init`, a class handed in, released, graded, reported, exported; a sample class; an exercise added."""
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "nbgrader_config.py", "src", "source", "tests"):
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(
                path, clone / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
            )
        else:
            shutil.copy(path, clone)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(clone)], check=True)
    shutil.rmtree(clone)
    with zipfile.ZipFile(tmp_path / WHEEL) as file:
        assert any("course_material/source/backprop" in name for name in file.namelist())
    root = tmp_path / "cs101"
    venv.create(root / ".venv", with_pip=False)
    python = root / ".venv/bin/python"
    # torch and nbgrader are those of this environment, handgrad is not
    (packages,) = (root / ".venv").glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    (root / ".venv" / "share").symlink_to(Path(sys.prefix) / "share")
    install = [*pip, "--python", str(python), "install", "--no-deps", "--ignore-installed"]
    subprocess.run([*install, str(tmp_path / WHEEL)], check=True)

    def handgrad(*words: str, status: int = 0, folder: Path = root) -> str:
        command = [str(python), "-m", "handgrad.cli", *words]
        done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    assert f"The course is in {root}" in handgrad("init", ".")
    assert "is not empty" in handgrad("init", ".", status=2)
    handgrad("release", "backprop")
    with zipfile.ZipFile(root / "release" / "backprop" / WHEEL) as file:
        assert not [name for name in file.namelist() if "course_material" in name]
        assert file.testzip() is None
    release, solution = (
        nbformat.read(root / kind / "backprop/backprop.ipynb", as_version=4) for kind in ("release", "solutions")
    )
    for student, case in {"ann": RIGHT, "bob": SLIP, "cid": UNTOUCHED}.items():
        folder = root / "submitted" / student / "backprop"
        folder.mkdir(parents=True)
        nbformat.write(case.notebook(release, solution), folder / "backprop.ipynb")
    assert "3 submissions: 3 graded" in handgrad("grade", "backprop", status=1)
    assert "report.html" in handgrad("report", "backprop")
    scores = json.loads(handgrad("export", "backprop", "--format", "json"))
    assert {row["student"]: row["report"]["score"] for row in scores["students"]} == {
        "ann": 26.0,
        "bob": SLIP.score,
        "cid": 0.0,
    }
    assert "nobody else can enter" in handgrad("doctor", status=0)
    (root / "forward.py").write_text(FORWARD, encoding="utf-8")
    assert "source/mine/mine.ipynb" in handgrad("new", "mine", "--forward", "forward.py")
    # a course that has nothing but its exercise
    handgrad("init", str(tmp_path / "demo"), "--exercise", "backprop")
    assert "20 submissions: 20 graded" in handgrad("demo", folder=tmp_path / "demo")
