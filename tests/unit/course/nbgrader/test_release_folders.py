"""A release that fails, or is killed, leaves what was released before, and says which cell and what to do."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader.api import Gradebook

from handgrad.course.course import Course
from handgrad.course.nbgrader import commands
from handgrad.course.nbgrader.database import at_work
from handgrad.errors import HandgradError
from helpers.paths import ENVIRONMENT, ROOT

NAME = "cross_entropy"
PLAIN = "plain"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course with one exercise and one assignment of nbgrader's own, both released."""
    root = tmp_path_factory.mktemp("course")
    shutil.copytree(ROOT / "source" / NAME, root / "source" / NAME)
    shutil.copy(ROOT / "nbgrader_config.py", root)
    plain = nbformat.v4.new_notebook(cells=[_cell("answer", "### BEGIN SOLUTION\nx = 1\n### END SOLUTION", points=2)])
    (root / "source" / PLAIN).mkdir()
    nbformat.write(plain, root / "source" / PLAIN / f"{PLAIN}.ipynb")
    for name in (NAME, PLAIN):
        commands.release(Course.at(root), name)
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A copy of the course."""
    return shutil.copytree(made, tmp_path / "course")


def _cell(name: str, source: str, points: float | None = None, *, text: bool = False) -> Any:
    cell = (new_markdown_cell if text else new_code_cell)(source, id=f"id-{name}")
    facts = {"grade_id": name, "locked": False, "schema_version": 3, "solution": True, "task": False}
    cell.metadata["nbgrader"] = {**facts, "grade": points is not None, **({} if points is None else {"points": points})}
    return cell


def released(root: Path) -> dict[str, str]:
    """What was released and solved, file by file; hidden folders too."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for kind in ("release", "solutions")
        for path in sorted((root / kind).rglob("*"))
        if path.is_file()
    }


def points(root: Path, name: str) -> dict[str, float]:
    """The graded cells that the gradebook has, with their points."""
    with Gradebook(f"sqlite:///{root}/gradebook.db", "handgrad") as gradebook:
        return {cell.name: cell.max_score for cell in gradebook.find_notebook(name, name).grade_cells}


def change(root: Path, name: str, by: Callable[[Any], object]) -> None:
    """Change the notebook of a source."""
    path = root / "source" / name / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    by(notebook)
    path.write_text(nbformat.writes(notebook), encoding="utf-8")


def with_source(old: str, new: str, *, more_points: bool = True) -> Callable[[Any], None]:
    """A change of a text in the first cell that has it; the points of a check change too, which must not be saved."""

    def by(notebook: Any) -> None:
        cell = next(cell for cell in notebook.cells if old in cell.source)
        cell.source = cell.source.replace(old, new, 1)
        for graded in notebook.cells:
            if more_points and "points" in graded.metadata.get("nbgrader", {}):
                graded.metadata.nbgrader.points = 9

    return by


def twice(notebook: Any) -> None:
    """The same check a second time."""
    check = next(cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade"))
    notebook.cells.append(nbformat.from_dict({**check, "id": "second"}))


def without_id(notebook: Any) -> None:
    """A check that has lost its grade_id."""
    check = next(cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade"))
    del check.metadata.nbgrader["grade_id"]


BROKEN: tuple[tuple[str, Callable[[Any], object], str], ...] = (
    (NAME, twice, "'check_dlogits'"),
    (PLAIN, twice, "2 cells have the grade_id 'answer'"),
    (NAME, with_source("### END SOLUTION", ""), "cell 'dlogits': 'BEGIN SOLUTION' stands without 'END SOLUTION'"),
    (NAME, with_source("### BEGIN SOLUTION", ""), "cell 'dlogits': 'END SOLUTION' stands without 'BEGIN SOLUTION'"),
    (PLAIN, with_source("### END SOLUTION", "### BEGIN SOLUTION"), "a second 'BEGIN SOLUTION'"),
    (NAME, with_source("cmp(", "### BEGIN HIDDEN TESTS\ncmp("), "cell 'check_dlogits': 'BEGIN HIDDEN TESTS' stands"),
    (PLAIN, with_source("x = 1", "x = 1\n### AUTOTEST x"), "needs autotests.yml"),
    (PLAIN, without_id, "cell 1 from the top ('### BEGIN SOLUTION') has no grade_id"),
    (PLAIN, lambda notebook: notebook.cells[0].metadata.nbgrader.pop("points"), "cell 'answer' has points None"),
    (PLAIN, lambda notebook: notebook.cells.append(new_code_cell("### BEGIN SOLUTION\n### END SOLUTION")), "marked as"),
)


def test_what_is_wrong_is_said_and_nothing_is_lost(root: Path) -> None:
    """Each fault of a source is one sentence with its cell; folders and gradebook are as they were."""
    before, known = released(root), {name: points(root, name) for name in (NAME, PLAIN)}
    for name, by, expected in BROKEN:
        path = root / "source" / name / f"{name}.ipynb"
        text = path.read_text(encoding="utf-8")
        change(root, name, by)
        with pytest.raises(HandgradError) as raised:
            commands.release(Course.at(root), name)
        assert expected in str(raised.value)
        assert "Traceback" not in str(raised.value)
        path.write_text(text[: len(text) // 2], encoding="utf-8")
        with pytest.raises(HandgradError, match="is not a notebook that can be read"):
            commands.release(Course.at(root), name)
        path.write_text(text, encoding="utf-8")
        assert released(root) == before
        assert {name: points(root, name) for name in (NAME, PLAIN)} == known
    assert not [path for path in root.rglob(".*") if path.name.startswith((f".{NAME}", f".{PLAIN}"))]


def test_a_question_added_after_submissions(root: Path) -> None:
    """With submissions, cells cannot be added or removed: how many there are and what to do is said; points can."""
    with at_work(), Gradebook(f"sqlite:///{root}/gradebook.db", "handgrad") as gradebook:
        for student in ("ann", "bob"):
            gradebook.add_student(student)
            gradebook.add_submission(PLAIN, student)
    before = released(root)
    change(root, PLAIN, lambda notebook: notebook.cells.append(_cell("why", "Why?", 2, text=True)))
    with pytest.raises(HandgradError) as raised:
        commands.release(Course.at(root), PLAIN)
    for part in ("2 submissions were graded ('why' added)", f"nbgrader db assignment remove {PLAIN} --force"):
        assert part in str(raised.value)
    change(root, PLAIN, lambda notebook: notebook.cells.pop(0))
    with pytest.raises(HandgradError, match="'why' added and 'answer' removed"):
        commands.release(Course.at(root), PLAIN)
    assert released(root) == before
    change(root, PLAIN, lambda notebook: notebook.cells.__setitem__(0, _cell("answer", "x = 2", 7)))
    commands.release(Course.at(root), PLAIN)
    assert points(root, PLAIN) == {"answer": 7.0}
    nbformat.write(nbformat.v4.new_notebook(), root / "source" / PLAIN / "more.ipynb")
    with pytest.raises(HandgradError, match="notebooks were added to plain or removed from it since submissions"):
        commands.release(Course.at(root), PLAIN)
    # the command that the sentences name
    done = nbgrader(root, "db", "assignment", "remove", PLAIN, "--force")
    assert done.returncode == 0, done.stderr


def nbgrader(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run one of nbgrader's own commands."""
    command = [sys.executable, "-m", "nbgrader", *words]
    return subprocess.run(command, cwd=root, env=ENVIRONMENT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_nbgraders_own_command(root: Path) -> None:
    """`nbgrader generate_assignment --force` too leaves what was released, and ends with the sentence."""
    before = released(root)
    change(root, PLAIN, with_source("### END SOLUTION", ""))
    for command in ("generate_assignment", "generate_solution"):
        done = nbgrader(root, command, PLAIN, "--force")
        assert done.returncode == 1
        assert "cell 'answer': 'BEGIN SOLUTION' stands without 'END SOLUTION'" in done.stderr
        assert released(root) == before
    change(root, PLAIN, with_source("x = 1", "x = 1\n### END SOLUTION", more_points=False))
    done = nbgrader(root, "generate_assignment", PLAIN)
    assert "Skipping existing assignment" in done.stderr
    assert nbgrader(root, "generate_assignment", PLAIN, "--force").returncode == 0
    assert not list((root / "release").glob(".*"))


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_release_that_is_killed(root: Path) -> None:
    """Killed at any moment, the old folders are there, or put back by the next release."""
    before = released(root)
    program = f"""
import os, pathlib, signal, sys
from handgrad.course.course import Course
from handgrad.course.nbgrader import commands
left = [int(sys.argv[1])]
real = pathlib.Path.rename
def rename(self, to):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, to)
pathlib.Path.rename = rename
commands.run("generate_assignment", Course.at("."), {PLAIN!r})
"""
    path = root / "source" / PLAIN / f"{PLAIN}.ipynb"
    text = path.read_text(encoding="utf-8")
    # the old folder is renamed, then the new one
    for moment in (1, 2):
        command = [sys.executable, "-W", "ignore", "-c", program, str(moment)]
        done = subprocess.run(command, cwd=root, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        change(root, PLAIN, with_source("### END SOLUTION", ""))
        with pytest.raises(HandgradError):
            commands.run("generate_assignment", Course.at(root), PLAIN)
        path.write_text(text, encoding="utf-8")
        assert released(root) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or not Path("/dev/full").exists(), reason="Linux")
def test_a_folder_that_cannot_be_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk or a folder without permission is one sentence with the file, and the old release stays."""
    before = released(root)
    for error in (OSError(28, "No space left on device"), PermissionError(13, "Permission denied")):

        def fail(*_: object, error: OSError = error, **__: object) -> None:
            error.filename = "release/x"
            raise error

        with monkeypatch.context() as patch:
            patch.setattr("nbconvert.writers.FilesWriter.write", fail)
            with pytest.raises(HandgradError, match=f"release/x cannot be written or read: {error.strerror}"):
                commands.release(Course.at(root), PLAIN)
        assert released(root) == before


def test_rules_for_assistants(root: Path) -> None:
    """The rules for coding assistants are released where the setting asks for it, and else taken away again."""
    config = root / "nbgrader_config.py"
    kept = config.read_text(encoding="utf-8")
    for on in (True, False):
        config.write_text(f"{kept}\nc.Handgrad.assistant_instructions = {on}\n", encoding="utf-8")
        for name in (NAME, PLAIN):
            commands.release(Course.at(root), name)
            for file in ("AGENTS.md", "CLAUDE.md"):
                assert (root / "release" / name / file).exists() == (on and name == NAME)
            assert not (root / "solutions" / name / "AGENTS.md").exists()
