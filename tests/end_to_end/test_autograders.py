"""Autograders for other services, run here as far as they can be: their own scripts, in their own folders."""

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from handgrad.authoring import release as release_module
from handgrad.authoring.autograders import Service, write_autograder
from handgrad.course.course import Course
from handgrad.errors import CourseError
from handgrad.exercise.release_file import WHEEL
from helpers.inputs import named
from helpers.paths import BIN, ENVIRONMENT, ROOT, TESTS, mistake

pytestmark = pytest.mark.slow

COURSE = Course.at(ROOT)


@pytest.fixture(scope="module", autouse=True)
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Lets handgrad look as if it had been installed from this wheel: to build one takes long."""
    wheel = tmp_path_factory.mktemp("origin") / WHEEL
    wheel.write_text("a wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release_module, "origin", lambda: wheel)
        yield wheel


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """A course in which backprop was released."""
    folder = tmp_path / "course"
    for kind in ("source", "release"):
        shutil.copytree(
            ROOT / kind / "backprop", folder / kind / "backprop", ignore=shutil.ignore_patterns("handgrad-*.whl")
        )
    shutil.copyfile(ROOT / "nbgrader_config.py", folder / "nbgrader_config.py")
    return Course.at(folder)


def configured(course: Course, line: str) -> Course:
    """The same course with another line in its configuration."""
    with (course.root / "nbgrader_config.py").open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    return Course.at(course.root)


@pytest.fixture(scope="module")
def gradescope(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gradescope's folder, as it is after the upload: what was zipped in ``source``, the entry point beside it."""
    written = write_autograder(COURSE, "gradescope", "backprop", tmp_path_factory.mktemp("written") / "new")
    root = tmp_path_factory.mktemp("autograder")
    with zipfile.ZipFile(written[-1]) as archive:
        archive.extractall(root / "source")
    # unpacking by Python forgets who may run what, which Gradescope sees to itself
    shutil.copyfile(root / "source" / "run_autograder", root / "run_autograder")
    (root / "run_autograder").chmod(0o755)
    return root


def results(
    root: Path, content: bytes | None, name: str = "backprop.ipynb", *, isolated: bool = True
) -> dict[str, Any]:
    """What the entry point makes of a submission with one file; if not ``isolated``, where nothing can isolate it."""
    shutil.rmtree(root / "submission", ignore_errors=True)
    (root / "submission").mkdir()
    if content is not None:
        (root / "submission" / name).write_bytes(content)
    environment = {**ENVIRONMENT, "AUTOGRADER_ROOT": str(root)}
    prefix = () if isolated else (sys.executable, TESTS / "helpers/without_isolation.py")
    subprocess.run([*prefix, root / "run_autograder"], env=environment, cwd=root, check=True, capture_output=True)
    content_ = json.loads((root / "results" / "results.json").read_text(encoding="utf-8"))
    assert isinstance(content_, dict)
    return content_


def notebook(kind: str) -> bytes:
    """The worked solution, or the released notebook."""
    return (ROOT / kind / "backprop" / "backprop.ipynb").read_bytes()


def test_gradescope(gradescope: Path) -> None:
    """Full marks for the solution, also under another name; none for the release; every gradient is a test."""
    full = results(gradescope, notebook("solutions"), "My answers (1).ipynb")
    assert full["score"] == 26
    assert "My answers (1).ipynb was graded" in full["output"]
    none = results(gradescope, notebook("release"))
    assert none["score"] == 0
    assert [test["max_score"] for test in none["tests"]] == [1.0] * 26


@pytest.mark.parametrize("content", [None, b"{"], ids=["nothing", "half a notebook"])
def test_gradescope_without_a_score(gradescope: Path, content: bytes | None) -> None:
    """What cannot be graded has a reason and no score, so that Gradescope keeps it for manual review."""
    found = results(gradescope, content)
    assert "score" not in found
    assert "tests" not in found
    assert found["output"].startswith("handgrad: ")


REWRITES = '''
import subprocess, sys, time
forge = f"""
import time
for _ in range(240):
    open({MARKER!r}, 'w').close()
    open({RESULTS!r}, 'w').write('forged')
    time.sleep(0.25)
"""
subprocess.Popen([sys.executable, '-c', forge], start_new_session=True)
time.sleep(1)
'''


@pytest.mark.skipif(sys.platform != "linux", reason="isolation is Linux's")
def test_gradescope_without_isolation(gradescope: Path, tmp_path: Path) -> None:
    """Where nothing isolates nobody is graded and nothing is run, unless the settings trust; nothing is rewritten."""
    written = nbformat.reads(notebook("solutions").decode(), as_version=4)
    marker, file = tmp_path / "marker", gradescope / "results" / "results.json"
    cell = written.cells[_index(written, "dprobs")]
    cell.source += f"\nMARKER, RESULTS = {str(marker)!r}, {str(file)!r}\n{REWRITES}"
    hostile = nbformat.writes(written).encode()
    refused = results(gradescope, hostile, isolated=False)
    assert "score" not in refused
    assert "requires isolation 'partial', and this machine offers none: nobody is graded" in refused["output"]
    assert not marker.exists()
    # the settings of an instructor who has decided
    settings = gradescope / "source/handgrad.json"
    kept = settings.read_text(encoding="utf-8")
    data = json.loads(kept)
    data["settings"]["trust_submissions"] = True
    settings.write_text(json.dumps(data), encoding="utf-8")
    try:
        assert results(gradescope, hostile, isolated=False)["score"] == 26
    finally:
        settings.write_text(kept, encoding="utf-8")
    assert marker.exists()
    marker.unlink()
    time.sleep(0.6)
    assert not marker.exists(), "a process of the submission's is left"
    assert json.loads(file.read_text(encoding="utf-8"))["score"] == 26


def test_gradescope_holds_no_solution(gradescope: Path) -> None:
    """An image of the autograder holds the released exercise, no notebook, and nothing of a solution."""
    source = gradescope / "source"
    assert not list(source.rglob("*.ipynb"))
    assert "BEGIN SOLUTION" not in (source / "exercise.json").read_text(encoding="utf-8")
    assert os.access(write_autograder(COURSE, "gradescope", "backprop", gradescope / "again")[0], os.R_OK)
    assert os.access(gradescope / "again" / "setup.sh", os.X_OK)


RUNNER = {
    "CLASSROOM": "deep-learning",
    "ASSIGNMENT": "backprop",
    "SUBMISSION_TAG": "submit/2026-09-14T10-00-00Z-a1b2c3d",
    "COMMIT_URL": "https://host/org/repository/commit/a1b2c3d",
    "RELEASE_URL": "https://host/org/repository/releases/tag/submit",
}
"""What the runner of Classroom 50 sets for an autograder."""


@pytest.fixture(scope="module")
def classroom50(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an assignment's autograder, as the runner unpacks it, after its ``setup.sh``."""
    folder = tmp_path_factory.mktemp("bundle") / "backprop"
    write_autograder(COURSE, "classroom50", "backprop", folder)
    (folder / "venv").mkdir()
    (folder / "venv/bin").symlink_to(BIN)
    return folder


@pytest.mark.parametrize("name", ["solutions", "release", "dlogits-without-max"])
def test_classroom50(classroom50: Path, tmp_path: Path, name: str) -> None:
    """A result has whole points, the same maximum for everybody, and what the runner looks for in each field."""
    release, solution = (nbformat.reads(notebook(kind).decode(), as_version=4) for kind in ("release", "solutions"))
    content = notebook(name) if name in ("solutions", "release") else mistake(name).content(release, solution)
    (tmp_path / "backprop.ipynb").write_bytes(content)
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "result.json").symlink_to("elsewhere")
    graded = subprocess.run(
        [sys.executable, classroom50 / "autograder.py"], cwd=tmp_path, env={**ENVIRONMENT, **RUNNER}, check=False
    )
    assert graded.returncode == 0
    found = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert (tmp_path / "elsewhere").read_text() == "mine"
    assert found["schema"] == "classroom50/result/v1"
    assert found["review"] == found["commit"] == RUNNER["COMMIT_URL"]
    assert [found[name] for name in ("classroom", "assignment", "submission", "release")] == [
        RUNNER[name] for name in ("CLASSROOM", "ASSIGNMENT", "SUBMISSION_TAG", "RELEASE_URL")
    ]
    points = {"solutions": 26.0, "release": 0.0}.get(name) or mistake("dlogits-without-max").score * (name != "release")
    assert (found["score"], found["max-score"]) == (2 * points, 52)
    assert {type(test[key]) for test in found["tests"] for key in ("score", "max-score")} == {int}
    assert sum(test["score"] for test in found["tests"]) == found["score"]
    body = (tmp_path / "release-body.md").read_text(encoding="utf-8")
    assert body.startswith(
        f"### {found['score']} of 52\n\nClassroom 50 takes whole numbers, so all points are doubled."
    )


def test_classroom50_without_a_score(classroom50: Path, tmp_path: Path) -> None:
    """What cannot be graded, and a format outside of its runner, end with a status that is no mark."""
    (tmp_path / "backprop.ipynb").write_bytes(b"{")
    command = [sys.executable, classroom50 / "autograder.py"]
    done = subprocess.run(command, cwd=tmp_path, env={**ENVIRONMENT, **RUNNER}, check=False, capture_output=True)
    assert done.returncode == 2
    assert not (tmp_path / "result.json").exists()
    (tmp_path / "backprop.ipynb").write_bytes(notebook("release"))
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, check=False, capture_output=True)
    assert done.returncode == 2
    assert b"which sets CLASSROOM, ASSIGNMENT, SUBMISSION_TAG, COMMIT_URL, RELEASE_URL" in done.stderr


def test_the_scripts(classroom50: Path, gradescope: Path) -> None:
    """The shell scripts have no fault that shellcheck finds, and both services install in the same way."""
    scripts = [classroom50 / "setup.sh", gradescope / "run_autograder"]
    subprocess.run([BIN / "shellcheck", *scripts], check=True)
    assert (gradescope / "source/setup.sh").read_bytes() == scripts[0].read_bytes()


def test_setup(tmp_path: Path) -> None:
    """uv makes an environment of its own Python, and installs the course's versions, or else what the course allows."""
    write_autograder(COURSE, "gradescope", "backprop", tmp_path / "source")
    programs, calls = tmp_path / "programs", tmp_path / "calls"
    programs.mkdir()
    # a uv that has no build of an exact version
    (programs / "uv").write_text(f'#!/bin/sh\necho "$@" >>{calls}\ncase "$*" in *lock) exit 1 ;; esac\n')
    (programs / "uv").chmod(0o755)
    environment = {**ENVIRONMENT, "PATH": f"{programs}:{ENVIRONMENT['PATH']}"}
    subprocess.run(["bash", tmp_path / "source/setup.sh"], env=environment, cwd=tmp_path, check=True)
    made, exact, allowed = calls.read_text(encoding="utf-8").splitlines()
    assert "--python 3.12 venv" in made
    assert "--torch-backend cpu --requirement requirements.lock" in exact
    assert allowed == exact.replace("requirements.lock", "requirements.txt")


def test_what_is_there_stays(tmp_path: Path) -> None:
    """A folder that holds something is not written to, and what was not released cannot be graded elsewhere."""
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(CourseError, match="is not empty: choose another folder with --output, or empty it"):
        write_autograder(COURSE, "classroom50", "backprop", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    course = tmp_path / "course"
    shutil.copytree(ROOT / "source", course / "source")
    shutil.copyfile(ROOT / "nbgrader_config.py", course / "nbgrader_config.py")
    with pytest.raises(CourseError, match=r"backprop was not released: .* Run `handgrad release backprop` first"):
        write_autograder(Course.at(course), "classroom50", "backprop", tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("service", ["gradescope", "classroom50"])
def test_the_wheel_goes_along(course: Course, tmp_path: Path, service: Service) -> None:
    """The requirements name a wheel that is there: the one beside the release, else one made for it."""
    released = course.root / "release/backprop"
    (released / "handgrad-0.0.0-py3-none-any.whl").touch()
    for number, text in enumerate(("a wheel", "the release's")):
        output = tmp_path / f"new-{number}"
        write_autograder(course, service, "backprop", output)
        [wheel] = output.glob("*.whl")
        assert (output / "requirements.txt").read_text(encoding="utf-8") == f"./{wheel.name}[check]\n"
        lock = (output / "requirements.lock").read_text(encoding="utf-8").splitlines()
        assert lock[-1] == f"./{wheel.name}[check]"
        assert any(line.startswith("torch==") for line in lock)
        assert wheel.read_text(encoding="utf-8") == text
        (released / WHEEL).write_text("the release's")


def test_no_wheel(course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no wheel nothing is written: no index has handgrad, and a stranger could put one there."""
    monkeypatch.setattr(release_module, "origin", lambda: None)
    with pytest.raises(CourseError, match=r"Run `pip wheel --no-deps -w \S+/release/backprop CLONE`"):
        write_autograder(course, "gradescope", "backprop", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def _points(notebook: nbformat.NotebookNode) -> None:
    notebook.cells[_index(notebook, "check_dprobs")].metadata.nbgrader.points = 3


def _hidden(notebook: nbformat.NotebookNode) -> None:
    cell = notebook.cells[_index(notebook, "check_dprobs")]
    cell.source += "\n### BEGIN HIDDEN TESTS\nassert dprobs.sum() > 0\n### END HIDDEN TESTS"


def _locked(notebook: nbformat.NotebookNode) -> None:
    notebook.cells[_index(notebook, "parameters")].source += "\nother = 1"


def _fewer(notebook: nbformat.NotebookNode) -> None:
    for name in ("check_dC", "dC"):
        del notebook.cells[_index(notebook, name)]


def _index(notebook: nbformat.NotebookNode, name: str) -> int:
    return next(
        number
        for number, cell in enumerate(notebook.cells)
        if cell.metadata.get("nbgrader", {}).get("grade_id") == name
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_points, "check_dprobs is worth 3 points, but 1 in the release"),
        (_locked, "the locked cell parameters has changed"),
        (_fewer, "check_dC is no longer in the source"),
        (_hidden, ""),
    ],
)
def test_a_release_of_yesterday(
    course: Course, tmp_path: Path, change: Callable[[nbformat.NotebookNode], None], said: str
) -> None:
    """What the source has changed since must be released first; hidden tests stand in no release."""
    path = course.exercise_path("backprop")
    source = nbformat.read(path, as_version=4)
    change(source)
    nbformat.write(source, path)
    if not said:
        assert write_autograder(course, "classroom50", "backprop", tmp_path / "new")
        return
    with pytest.raises(
        CourseError, match=rf"differs from what the source gives now \({said}.*run `handgrad release backprop`"
    ):
        write_autograder(course, "classroom50", "backprop", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_settings_go_along(course: Course, tmp_path: Path) -> None:
    """The other service marks by the course's own shares, and learns no hidden seed."""
    course = configured(course, "c.Handgrad.partial_invisible = 0.25; c.Handgrad.seeds = [123456789]")
    write_autograder(course, "gradescope", "backprop", tmp_path / "source")
    shutil.copyfile(tmp_path / "source/run_autograder", tmp_path / "run_autograder")
    (tmp_path / "run_autograder").chmod(0o755)
    assert not [path for path in (tmp_path / "source").iterdir() if b"123456789" in path.read_bytes()]
    release, solution = (nbformat.reads(notebook(kind).decode(), as_version=4) for kind in ("release", "solutions"))
    case = mistake("dlogits-without-max")
    assert results(tmp_path, case.content(release, solution))["score"] == 25.25


def test_settings_that_are_none(tmp_path: Path) -> None:
    """A file of settings that cannot be followed is said, and how to get another."""
    for text in ["{", "[]", '{"schema": 2, "settings": {}}', '{"schema": 1, "settings": {"seeds": [1]}}']:
        with named(text):
            path = tmp_path / "handgrad.json"
            path.write_text(text, encoding="utf-8")
            with pytest.raises(CourseError, match=r"does not hold a course's settings .* `handgrad new-autograder`"):
                Course.of_settings(path)
