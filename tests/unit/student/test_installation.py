"""What is installed: versions that were tried, versions that are too old, and what installs the right ones."""

import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from typer.testing import CliRunner

from handgrad import cli
from handgrad.course.commands import check_notebook
from handgrad.course.course import Course
from handgrad.course.nbgrader import preprocessors
from handgrad.course.workers.task import Task
from handgrad.course.workers.worker import AssignmentWorker
from handgrad.errors import IsolationError
from handgrad.exercise.exercise import Exercise
from handgrad.student import installation
from helpers.paths import ROOT

VERSIONS: dict[str, str] = {}
"""What a test pretends to be installed, before what is installed."""


@pytest.fixture(autouse=True)
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages have the versions that a test puts into ``VERSIONS``."""
    VERSIONS.clear()
    monkeypatch.setattr(installation, "version", lambda name: VERSIONS.get(name) or metadata.version(name))


def test_these_versions_were_tried() -> None:
    """The versions in the development environment are ones that may grade."""
    assert installation.untried("torch", "nbgrader", "nbconvert", "nbformat", "sqlalchemy") == []
    assert installation.too_old() == []
    installation.refuse_untried_torch()


def test_what_was_tried_is_allowed() -> None:
    """The requirements allow what was tried."""
    lowest = {
        requirement.name: next(iter(requirement.specifier)).version
        for requirement in map(Requirement, metadata.requires("handgrad") or ())
        if requirement.specifier
    }
    for name, (first, last) in installation.TRIED.items():
        assert name == "python" or Version(lowest[name]) <= Version(first), name
        assert Version(first) <= Version(last), name
    python = metadata.metadata("handgrad")["Requires-Python"]
    assert python == f">={installation.TRIED['python'][0]}"


@pytest.mark.parametrize("version", ["1.13.1", "2.0", "2.3.1+cu126", "2.99.0", "3.0.0a1", "unknown"])
def test_other_versions_of_torch(version: str) -> None:
    """Any other version is refused with a sentence that names it, and what to install."""
    VERSIONS["torch"] = version
    with pytest.raises(IsolationError) as caught:
        installation.refuse_untried_torch()
    assert f"and this is torch {version}." in str(caught.value)
    assert f"pip install 'torch=={installation.TRIED['torch'][1]}.*'" in str(caught.value)


def test_nobody_is_graded_with_another_version(exercise: Exercise, tmp_path: Path) -> None:
    """Both ways of grading a class refuse; a check of one's own says so and goes on."""
    VERSIONS["torch"] = "2.99.0"
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


def test_a_command_says_what_was_not_tried(tmp_path: Path) -> None:
    """A command of a course says it in one line on standard error, and goes on."""
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    tmp_path.chmod(0o700)
    command = ["students", "list", "--course", str(tmp_path)]
    before = CliRunner().invoke(cli.app, command)
    VERSIONS["nbgrader"] = "0.10.1"
    done = CliRunner().invoke(cli.app, command)
    assert (done.exit_code, done.stdout) == (before.exit_code, before.stdout)
    (line,) = set(done.stderr.splitlines()) - set(before.stderr.splitlines())
    tried = " to ".join(dict.fromkeys(installation.TRIED["nbgrader"]))
    assert line == f"Not tried with handgrad: nbgrader 0.10.1 (tried: {tried}). `handgrad doctor` says more."


def test_a_crash_with_an_old_package_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the package, what is needed, the failure and the command; with the right versions it stays a crash."""

    def crash() -> None:
        raise RuntimeError("Type not yet supported")

    monkeypatch.setattr(cli, "app", crash)
    with pytest.raises(RuntimeError):
        cli.main()
    VERSIONS["typer"] = "0.12.0"
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    needed = re.search(r"typer(>=[\d.]+)", "\n".join(metadata.requires("handgrad") or ()))
    assert needed
    assert capsys.readouterr().err == (
        f"handgrad: too old: typer 0.12.0 (needed: {needed[1]}). With that, this failed: RuntimeError: Type not yet "
        f"supported. Run: {installation.pip()} 'typer{needed[1]}'\n"
    )


def test_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command installs from where handgrad came from, or says where to run it; each package has its extra."""
    monkeypatch.setattr(installation, "origin", lambda: None)
    for package, ending in (
        ("nbformat", f"run in the folder that you got from your instructor: {installation.pip()} -r requirements.txt"),
        ("IPython", f"run in the folder that you got from your instructor: {installation.pip()} -r requirements.txt"),
        ("nbgrader", f"run in a clone of handgrad: {installation.pip()} '.[grade]'"),
        ("psycopg2", f"run in a clone of handgrad: {installation.pip()} '.[postgresql]'"),
        ("nbclient", f"run in a clone of handgrad: {installation.pip()} '.[grade]'"),
    ):
        said = installation.missing_package(package)
        assert said == f"this command needs the package {package}, which is not installed; {ending}"
    monkeypatch.setattr(installation, "origin", lambda: Path("/a wheel.whl"))
    assert installation.how_to_install("check") == f"run: {installation.pip()} '/a wheel.whl[check]'"
    monkeypatch.setattr(installation, "has_pip", lambda: False)
    assert installation.how_to_install("grade") == "run: uv pip install '/a wheel.whl[grade]'"


def test_the_command_without_its_packages() -> None:
    """Where only torch is installed, `handgrad` says what is missing, and how to get it."""
    code = "import sys; sys.modules['typer'] = None; import handgrad.cli"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("handgrad: this command needs the package typer, which is not installed; run")
