"""Files beside a submitted notebook are a student's: no command runs or believes them."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers import paths
from helpers.courses import RIGHT, make_course
from helpers.paths import ROOT

CODE = "open({proof!r}, 'a').write(__file__ + '\\n')\n"
MODULES = (
    *(
        "nbgrader_config",
        "sitecustomize",
        "usercustomize",
        "conftest",
        "torch",
        "numpy",
        "handgrad",
        "nbformat",
        "rich",
    ),
    *("typing", "json", "random", "re", "readline", "matplotlib", "IPython", "slow_imports", "setup", "noxfile"),
    *("ipython_config", "ipython_kernel_config", "jupyter_config", "jupyter_nbconvert_config", "jupyter_server_config"),
    *("test_backprop", "backprop", "startup", "profile_default/ipython_config", "profile_default/startup/00-start"),
    *(".ipython/profile_default/ipython_config", ".jupyter/jupyter_config", "torch/__init__", "backprop/__init__"),
)
"""Modules and configuration that Python, Jupyter, IPython, pytest, torch or nbgrader would pick up somewhere."""
TEXTS = {
    "evil.pth": "import os; {code}",
    "python311._pth": ".",
    "pyvenv.cfg": "home = .",
    "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '-p evil'\n",
    "pytest.ini": "[pytest]\naddopts = -p evil\n",
    "setup.cfg": "[options.entry_points]\npytest11 = evil = evil\n",
    "matplotlibrc": "backend: module://evil\n",
    ".env": "PYTHONPATH=.\n",
    "handgrad.json": json.dumps({"schema": 1, "settings": {"tolerance": 1e9}}),
    ".handgrad/seeds.json": json.dumps({"schema": 1, "seeds": [1]}),
}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A course in which a student has planted files at every level, and the file that shows that one was run."""
    folder = tmp_path_factory.mktemp("planted")
    proof = folder / "proof"
    course = make_course(folder / "course", eve=RIGHT)
    code = CODE.format(proof=str(proof))
    for place in ("submitted/eve", "submitted/eve/backprop"):
        for name in MODULES:
            path = course.root / place / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code, encoding="utf-8")
        (course.root / place / "evil.py").write_text(code, encoding="utf-8")
        for name, text in TEXTS.items():
            path = course.root / place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("{code}", code), encoding="utf-8")
        released = json.loads((ROOT / "release/backprop/exercise.json").read_text(encoding="utf-8"))
        first = next(cell for cell in released["notebook"]["cells"] if cell["cell_type"] == "code")
        first["source"] = f"try:\n    {code}except OSError: pass\n" + "".join(first["source"])
        (course.root / place / "exercise.json").write_text(json.dumps(released), encoding="utf-8")
        shutil.copy(ROOT / "release/backprop/names.txt", course.root / place)
        # a course of their own, with an exercise of one mark
        shutil.copytree(ROOT / "source/backprop", course.root / place / "source/backprop")
    return course.root, proof


def run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder."""
    return subprocess.run(
        command, cwd=folder, env=paths.ENVIRONMENT, capture_output=True, text=True, check=False, timeout=250
    )


@pytest.mark.parametrize("place", [pytest.param(".", marks=pytest.mark.slow), "submitted/eve/backprop"])
def test_check(planted: tuple[Path, Path], place: str) -> None:
    """A notebook is checked without its neighbours, from wherever."""
    root, proof = planted
    folder = root / place
    done = run("handgrad", "check", str(root / "submitted/eve/backprop/backprop.ipynb"), folder=folder)
    assert done.returncode == 0, done.stderr
    assert "26 of 26" in done.stdout
    assert not proof.exists(), proof.read_text(encoding="utf-8")


def test_grade(planted: tuple[Path, Path]) -> None:
    """A class is graded without them."""
    root, proof = planted
    done = run("handgrad", "grade", "backprop", folder=root)
    assert "1 graded" in done.stdout, done.stderr
    assert not proof.exists(), proof.read_text(encoding="utf-8")


@pytest.mark.slow
def test_autograde(planted: tuple[Path, Path]) -> None:
    """nbgrader's own command too."""
    root, proof = planted
    for command in ("generate_assignment", "autograde"):
        done = run("nbgrader", command, "backprop", "--force", folder=root)
        assert done.returncode == 0, done.stderr
    assert not proof.exists(), proof.read_text(encoding="utf-8")
