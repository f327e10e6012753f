"""The wheel that students install: where it comes from, and what is said where it comes from nowhere."""

import json
import shutil
import zipfile
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path

import pytest
from typer.testing import CliRunner

from handgrad.authoring.release import release, wheel_in, wheels
from handgrad.cli import app
from handgrad.course.course import Course
from handgrad.errors import CourseError
from handgrad.exercise.release_file import WHEEL
from handgrad.student.installation import origin
from helpers.commands import handgrad
from helpers.paths import ROOT

Installed = Callable[[str | None], None]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Installed:
    """Lets handgrad look as if pip had installed it from an address, or (None) from an index."""

    class Distribution:
        def __init__(self, url: str | None) -> None:
            self.url = url

        def read_text(self, name: str) -> str | None:
            assert name == "direct_url.json"
            return json.dumps({"url": self.url}) if self.url else None

    def install(url: str | None) -> None:
        monkeypatch.setattr(
            "handgrad.student.installation.distributions",
            lambda name: [Distribution(None), Distribution(url)] if name == "handgrad" else distributions(name=name),
        )

    return install


def test_origin(installed: Installed, tmp_path: Path) -> None:
    """A clone and a wheel on this machine are where handgrad comes from; an index, a network and a lost folder not."""
    clone = tmp_path / "my clone"
    clone.mkdir()
    (clone / "pyproject.toml").touch()
    wheel = tmp_path / WHEEL
    wheel.touch()
    for url, path in (
        (clone.as_uri(), clone),
        (wheel.as_uri(), wheel),
        (None, None),
        ("https://example.org/handgrad.git", None),
        ((tmp_path / "gone").as_uri(), None),
    ):
        installed(url)
        assert origin() == path


def test_a_wheel_is_copied(installed: Installed, tmp_path: Path) -> None:
    """Installed from a wheel, handgrad hands out that wheel."""
    (tmp_path / WHEEL).write_text("a wheel")
    installed((tmp_path / WHEEL).as_uri())
    with wheels([tmp_path / "release"]) as wheel:
        assert wheel.name == WHEEL
        assert wheel.read_text() == "a wheel"
    assert not wheel.exists()


def test_no_wheel(installed: Installed, tmp_path: Path) -> None:
    """Where a wheel comes from nowhere, the message says how to make one, and the one so made serves."""
    installed(None)
    folders = [tmp_path / "backprop", tmp_path / "training"]
    with pytest.raises(CourseError, match=r"Run `pip wheel --no-deps -w \S+/backprop CLONE`"), wheels(folders):
        pass
    folders[1].mkdir()
    (folders[1] / "handgrad-0.0.0-py3-none-any.whl").touch()
    assert wheel_in(folders[1]) is None, "it is of another version"
    (folders[1] / WHEEL).write_text("made by hand")
    with wheels(folders) as wheel:
        assert wheel.read_text() == "made by hand"


def test_another_version(installed: Installed, tmp_path: Path) -> None:
    """A wheel of another version is not handed out: the released requirements do not name it."""
    other = tmp_path / "handgrad-0.0.0-py3-none-any.whl"
    other.touch()
    installed(other.as_uri())
    with pytest.raises(CourseError, match=r"gives handgrad-0\.0\.0-py3-none-any\.whl, but this is"), wheels([tmp_path]):
        pass


def test_a_clone_that_cannot_be_built(installed: Installed, tmp_path: Path) -> None:
    """What pip says last of a clone that it cannot build is passed on."""
    (tmp_path / "pyproject.toml").write_text("[project\n")
    installed(tmp_path.as_uri())
    with (
        pytest.raises(CourseError, match=r"cannot be built: `pip wheel --no-deps .*` fails: ERROR"),
        wheels([tmp_path]),
    ):
        pass


def test_what_was_built_is_kept(installed: Installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel of a clone is built again when one of its files has changed, and only then."""
    clone, kept_in = tmp_path / "clone", tmp_path / "private"
    for folder in (clone / "src" / "__pycache__", kept_in):
        folder.mkdir(parents=True)
    (clone / "pyproject.toml").touch()
    installed(clone.as_uri())
    built: list[str] = []

    def build(source: Path, folder: Path) -> None:
        built.append((source / "src" / "module.py").read_text())
        with zipfile.ZipFile(folder / WHEEL, "w") as file:
            file.writestr("handgrad/module.py", built[-1])

    monkeypatch.setattr(f"{wheels.__module__}._build", build)
    for text in ("first", "first", "second"):
        (clone / "src" / "module.py").write_text(text)
        (clone / "src" / "__pycache__" / "module.pyc").write_text(f"compiled {len(built)}")
        with wheels([tmp_path / "release"], kept_in) as wheel:
            assert wheel.name == WHEEL
            assert zipfile.ZipFile(wheel).read("handgrad/module.py").decode() == text
    assert built == ["first", "second"]
    assert len(list(kept_in.iterdir())) == 1


@pytest.mark.slow
def test_a_clone_is_built(installed: Installed, tmp_path: Path) -> None:
    """The wheel of a clone has every module and what stands beside them, and nothing is written into the clone."""
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    shutil.copytree(ROOT / "src", clone / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    stale = clone / "build" / "lib" / "handgrad" / "stale.py"
    stale.parent.mkdir(parents=True)
    stale.touch()
    before = sorted(clone.rglob("*"))
    installed(clone.as_uri())
    with wheels([tmp_path]) as wheel:
        held = set(zipfile.ZipFile(wheel).namelist())
    assert sorted(clone.rglob("*")) == before
    ours = {path.relative_to(clone / "src").as_posix() for path in (clone / "src").rglob("*") if path.is_file()}
    assert {name for name in held if name.startswith("handgrad/")} == ours


@pytest.fixture
def course(tmp_path: Path, installed: Installed) -> Course:
    """A course of one exercise and one of nbgrader's own assignments, of a handgrad that was installed by a wheel."""
    (tmp_path / WHEEL).write_text("a wheel")
    installed((tmp_path / WHEEL).as_uri())
    folder = tmp_path / "course"
    shutil.copytree(ROOT / "source/cross_entropy", folder / "source/cross_entropy")
    shutil.copy(ROOT / "nbgrader_config.py", folder)
    return Course.at(folder)


def test_release(course: Course) -> None:
    """What is released is what the repository holds, with the wheel that its requirements name; also a second time."""
    for _ in range(2):
        (released,) = release(course, ["cross_entropy"])
        assert (released.assignment, released.wheel) == ("cross_entropy", WHEEL)
        assert released.folder == course.root / "release/cross_entropy"
        wheel = released.folder / WHEEL
        assert wheel.read_text() == "a wheel"
        assert f"./{WHEEL}[check]" in (released.folder / "requirements.txt").read_text().splitlines()
        theirs = ROOT / "release/cross_entropy"
        names = {path.name for path in theirs.iterdir() if path.suffix != ".whl"}
        assert {path.name for path in released.folder.iterdir()} == names | {WHEEL}
        assert (released.folder / "exercise.json").read_bytes() == (theirs / "exercise.json").read_bytes()
        assert (released.solution / "cross_entropy.ipynb").is_file()
        assert not list(released.solution.glob("*.whl"))


def test_release_of_another_assignment(course: Course) -> None:
    """An assignment that is no exercise of ours is released by nbgrader's rules, without a wheel."""
    import nbformat

    cells = [nbformat.v4.new_markdown_cell("An essay.", id="essay")]
    essay = course.root / "source/essay/essay.ipynb"
    essay.parent.mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=cells), essay)
    (released,) = release(course, ["essay"])
    assert released.wheel == ""
    assert [path.name for path in released.folder.iterdir()] == ["essay.ipynb"]


def test_release_refuses(course: Course, tmp_path: Path) -> None:
    """An assignment that is not there, a lost file, and no assignment at all are said before anything is written."""
    with pytest.raises(CourseError, match="there is no assignment 'crossentropy'"):
        list(release(course, ["cross_entropy", "crossentropy"]))
    names = course.root / "source/cross_entropy/names.txt"
    names.unlink()
    names.symlink_to("../../data/names.txt")
    with pytest.raises(CourseError, match=r"\(source/cross_entropy/names\.txt -> .*\)\. Copy the course with `cp -rL`"):
        list(release(course))
    shutil.rmtree(course.root / "source")
    with pytest.raises(CourseError, match="there is no assignment in"):
        list(release(course))
    assert not course.folder("release").exists()


def test_the_command(course: Course) -> None:
    """`handgrad release` prints a line for each assignment, and a course with lost files ends with status 2."""
    done = CliRunner().invoke(app, ["release", "--course", str(course.root)])
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        f"cross_entropy: {course.root}/release/cross_entropy with {WHEEL}; "
        f"its solution is in {course.root}/solutions/cross_entropy"
    ]
    names = course.root / "source/cross_entropy/names.txt"
    names.unlink()
    names.symlink_to("../../data/names.txt")
    for command in ("release", "verify"):
        ended = handgrad(command, folder=course.root)
        assert ended.returncode == 2
        assert ended.stdout == ""
        assert ended.stderr.startswith("handgrad: links lead to missing files (source/cross_entropy/")
