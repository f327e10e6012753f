"""What `handgrad doctor` finds, and what it says to do."""

import os
import re
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from handgrad.cli import app
from handgrad.course.commands import doctor
from handgrad.course.commands.doctor import Finding, examine
from handgrad.course.course import CONFIG, Course
from handgrad.errors import IsolationError
from handgrad.student.installation import TRIED, installed
from helpers.paths import ROOT


@pytest.fixture
def course() -> Iterator[Course]:
    """A course with this project's configuration, in a folder that others can enter, unless it is closed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        folder.chmod(0o755)
        root = folder / "course"
        root.mkdir()
        root.chmod(0o700)
        (root / CONFIG).write_bytes((ROOT / CONFIG).read_bytes())
        (root / "source").symlink_to(ROOT / "source")
        yield Course.at(root)


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The isolation has tests of its own: here it takes no time."""
    monkeypatch.setattr(doctor, "_isolation", lambda course: Finding("ok", "isolation: full"))
    for name in TRIED:
        monkeypatch.setitem(TRIED, name, (installed(name), installed(name)))


def _not_ok(course: Course | None) -> list[Finding]:
    return [finding for finding in examine(course) if finding.state != "ok"]


def test_all_is_well(course: Course) -> None:
    """A course that nobody else can enter has nothing to be done about; versions are told."""
    assert _not_ok(course) == []
    said = "\n".join(finding.what for finding in examine(course))
    for part in ("handgrad ", "Python ", "torch ", "nbgrader ", "isolation: full", "backprop"):
        assert part in said
    assert _not_ok(None) == []


def test_who_can_read(course: Course) -> None:
    """Visitors, open files, links and foreign files are named, each with a command, and the command is enough."""
    handed_in = course.root / "submitted/eve/backprop"
    handed_in.mkdir(parents=True)
    (handed_in / "x.ipynb").symlink_to("/etc/passwd")
    course.seeds()
    (course.root / ".handgrad").chmod(0o755)
    (course.root / "submitted/eve").chmod(0o777)
    (course.root / "gradebook.db").touch(0o644)
    (open_,) = [finding for finding in _not_ok(course) if "open to others" in finding.what]
    assert open_.state == "look"
    course.root.chmod(0o755)
    found = {finding.what: finding for finding in _not_ok(course)}
    visitors = found[f"everybody on this machine can enter {course.root}"]
    assert (visitors.state, visitors.remedy) == ("wrong", f"to close it, run: chmod go-rwx {course.root}")
    (open_,) = [finding for finding in found.values() if "open to others" in finding.what]
    assert open_.state == "wrong"
    for name in (".handgrad", "gradebook.db", "submitted/eve"):
        assert f"'{name}'" in open_.what
    for finding in (visitors, open_):
        assert os.system(finding.remedy.partition("run: ")[2]) == 0
    (left,) = _not_ok(course)
    assert left.what == f"links in {course.root / 'submitted'}: 'eve/backprop/x.ipynb'"


def test_foreign_files(course: Course) -> None:
    """A collected file that is its student's can still be changed by its student."""
    (course.root / "submitted/eve").mkdir(parents=True, mode=0o700)
    assert _not_ok(course) == []
    if os.geteuid() == 0:
        os.chown(course.root / "submitted/eve", 50_001, 50_001)
        assert any("belong to others, who can change them: 'eve'" in finding.what for finding in _not_ok(course))


def test_ways_in(course: Course) -> None:
    """A configuration that collects with nbgrader's own classes is told the lines to add."""
    text = (course.root / CONFIG).read_text(encoding="utf-8")
    for line in ("c.ExchangeFactory.collect = handgrad.ExchangeCollector", "c.ZipCollectApp.extractor_plugin ="):
        assert line in text
        (course.root / CONFIG).write_text(text.replace(line, f"# {line}"), encoding="utf-8")
        (finding,) = _not_ok(Course.at(course.root))
        assert "collect what they are given" in finding.what
        assert line in finding.remedy
    (course.root / CONFIG).write_text("c = get_config()\n", encoding="utf-8")
    (finding,) = _not_ok(Course.at(course.root))
    assert finding.state == "wrong"
    assert "c.ExchangeFactory.collect = handgrad.ExchangeCollector" in finding.remedy


def test_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is missing or too old is named, with the command that installs what is needed."""

    def version(name: str) -> str:
        if name == "nbgrader":
            raise metadata.PackageNotFoundError(name)
        return "0.0.1" if name == "numpy" else metadata.version(name)

    monkeypatch.setattr("handgrad.student.installation.version", version)
    found = {finding.what: finding.remedy for finding in _not_ok(None)}
    assert found.pop("not installed: nbgrader").endswith("[grade]'")
    ((what, remedy),) = found.items()
    assert re.fullmatch(r"too old for handgrad: numpy 0\.0\.1 \(needed: >=[\d.]+\)", what)
    assert re.fullmatch(r"run: (uv )?pip install 'numpy>=[\d.]+'", remedy)


def test_no_isolation(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing isolates that is wrong, and it is said whether submissions are graded all the same."""
    monkeypatch.undo()

    class Fails:
        def __init__(self, *_: object, **__: object) -> None:
            raise IsolationError("the test child got out")

    monkeypatch.setattr(doctor, "WarmSandbox", Fails)
    found = doctor._isolation(course)
    assert (found.state, found.what) == ("wrong", "isolation: none (the test child got out). No submission is graded.")
    assert "trust_submissions is set" in doctor._isolation(course.with_trust()).what
    (course.root / CONFIG).write_text("c = get_config()\nc.Handgrad.isolation = 'none'\n", encoding="utf-8")
    assert "none was asked for" in doctor._isolation(Course.at(course.root)).what


def test_command(course: Course) -> None:
    """The command prints each finding with its remedy; its status is 1 if something is wrong."""
    done = CliRunner().invoke(app, ["doctor", "--course", str(course.root)])
    assert (done.exit_code, "✗" in done.output) == (0, False)
    course.root.chmod(0o755)
    done = CliRunner().invoke(app, ["doctor", "--course", str(course.root)])
    assert done.exit_code == 1
    assert f"chmod go-rwx {course.root}" in done.output.replace("\n", "")


def test_every_command_says_who_can_enter(course: Course) -> None:
    """A command says in one line on standard error who can enter the course, and --quiet leaves it out."""
    command = ["report", "backprop", "-o", str(course.root / "page.html"), "--course", str(course.root)]
    assert CliRunner().invoke(app, command).stderr == ""
    course.root.chmod(0o755)
    done = CliRunner().invoke(app, command)
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"Others can enter {course.root} (everybody on this machine)")
    assert f"chmod go-rwx {course.root}\n" in done.stderr
    assert CliRunner().invoke(app, [*command, "--quiet"]).stderr == ""


def test_versions_that_were_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are those with which this project is tested; another one is named, with the tried ones."""
    pins = dict(line.lower().split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    monkeypatch.setattr("handgrad.student.installation.installed", lambda name: pins.get(name, "3.11.7"))
    assert _not_ok(None) == []
    monkeypatch.setitem(TRIED, "nbgrader", ("0.0.1", "0.0.1"))
    (found,) = _not_ok(None)
    assert found.state == "look"
    assert found.what.endswith(f": nbgrader {pins['nbgrader']} (tried: 0.0.1)")
