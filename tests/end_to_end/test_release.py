"""What is released is what the source gives, and is enough for a student who has nothing else."""

import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch

from handgrad.exercise.release_file import recorded_in
from helpers.inputs import named
from helpers.paths import ASSIGNMENTS, ENVIRONMENT, ROOT

GENERATE = """
import sys
from nbgrader.apps import GenerateAssignmentApp, GenerateSolutionApp
for assignment in sys.argv[1:]:
    for command in (GenerateAssignmentApp(), GenerateSolutionApp()):
        command.initialize([assignment])
        command.start()
"""
"""`nbgrader generate_assignment` and `generate_solution` of every assignment, nbgrader being imported once."""


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course with what nbgrader's own commands make of the source."""
    course = tmp_path_factory.mktemp("generated")
    shutil.copytree(ROOT / "source", course / "source")
    shutil.copy(ROOT / "nbgrader_config.py", course)
    subprocess.run([sys.executable, "-c", GENERATE, *ASSIGNMENTS], cwd=course, env=ENVIRONMENT, check=True)
    return course


def _cells(path: Path) -> Iterator[tuple[Any, ...]]:
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        yield cell.cell_type, cell.id, cell.source, json.dumps(cell.metadata, sort_keys=True)


def test_no_drift(generated: Path) -> None:
    """The committed folders hold what the source gives: sources, ids, metadata and files beside the notebook."""
    for assignment in ASSIGNMENTS:
        for kind in ["release", "solutions"]:
            with named(assignment, kind):
                made, committed = generated / kind / assignment, ROOT / kind / assignment
                names = {path.name for path in made.iterdir()}
                assert {path.name for path in committed.iterdir() if path.suffix != ".whl"} == names
                for name in names:
                    if name.endswith(".ipynb"):
                        assert list(_cells(made / name)) == list(_cells(committed / name)), (
                            f"run `make release`: {name} differs"
                        )
                    elif name == "exercise.json":
                        _assert_same_exercise(made / name, committed / name)
                    else:
                        assert (made / name).read_bytes() == (committed / name).read_bytes(), (
                            f"run `make release`: {name} differs"
                        )


def _assert_same_exercise(made: Path, committed: Path) -> None:
    """Two exercises are the same; in what their solutions gave, another processor may round otherwise."""
    one, other = (json.loads(path.read_text(encoding="utf-8")) for path in (made, committed))
    for mine, theirs in zip(recorded_in(one.pop("recorded", [])), recorded_in(other.pop("recorded", [])), strict=True):
        assert mine.parameters == theirs.parameters
        assert mine.values.keys() == theirs.values.keys()
        for name, value in mine.values.items():
            assert torch.allclose(value, theirs.values[name], rtol=0, atol=1e-6), f"run `make release`: {name} differs"
    assert one == other, f"run `make release`: {made.name} differs"


def test_release_gives_nothing_away() -> None:
    """No solution and no hidden test stands in any file of a release."""
    for assignment in ASSIGNMENTS:
        with named(assignment):
            source = nbformat.read(ROOT / "source" / assignment / f"{assignment}.ipynb", as_version=4)
            stubs = [cell.source for cell in source.cells if cell.metadata.get("nbgrader", {}).get("solution")]
            solutions = [
                part.split("### END SOLUTION")[0] for text in stubs for part in text.split("### BEGIN SOLUTION")[1:]
            ]
            lines = {line.strip() for text in solutions for line in text.splitlines()} - {"", ")"}
            assert lines
            for path in (ROOT / "release" / assignment).iterdir():
                if path.suffix in (".whl", ".txt"):
                    continue
                text = path.read_text(encoding="utf-8")
                assert "SOLUTION" not in text
                assert "HIDDEN TESTS" not in text
                if path.suffix not in (".ipynb", ".json"):
                    continue
                released = json.dumps(json.loads(text)["notebook"]) if path.name == "exercise.json" else text
                cells = nbformat.reads(released, as_version=4).cells
                assert not lines & {line.strip() for cell in cells for line in cell.source.splitlines()}


def test_solutions_hold_no_outputs() -> None:
    """Worked solutions are committed without outputs and without hidden tests."""
    for assignment in ASSIGNMENTS:
        with named(assignment):
            notebook = nbformat.read(ROOT / "solutions" / assignment / f"{assignment}.ipynb", as_version=4)
            assert not any(cell.get("outputs") for cell in notebook.cells)
            assert not any("HIDDEN TESTS" in cell.source for cell in notebook.cells)


def test_released_stub_and_check() -> None:
    """A released stub is an assignment of None, and its check is the lecture's line, allowed to raise."""
    notebook = nbformat.read(ROOT / "release/backprop/backprop.ipynb", as_version=4)
    cells = {cell.metadata.nbgrader.grade_id: cell for cell in notebook.cells if "nbgrader" in cell.metadata}
    assert cells["dprobs"].source == "dprobs = None  # your code here"
    assert cells["check_dprobs"].source == "cmp('probs', dprobs, probs)"
    assert "raises-exception" in cells["check_dprobs"].metadata.tags


@pytest.mark.slow
def test_a_student_needs_one_pip_command(generated: Path, tmp_path: Path) -> None:
    """In an empty environment, `pip install -r requirements.txt` is enough to check a notebook with pytest."""
    folder = tmp_path / "backprop"
    shutil.copytree(generated / "release" / "backprop", folder)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(pip, check=True)
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    bare = ["-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt")]
    subprocess.run([python, *bare, *(str(path) for path in folder.glob("*.whl"))], cwd=folder, check=True)
    # the wheel alone brings torch, and is enough for `from handgrad import cmp`
    subprocess.run([python, "-W", "ignore", "-c", "from handgrad import cmp"], cwd=folder, check=True)
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format", "json"], capture_output=True, text=True, check=True
    ).stdout
    assert not {"nbgrader", "ipython", "nbformat"} & {one["name"].lower() for one in json.loads(listed)}
    subprocess.run([python, *bare, "-r", "requirements.txt"], cwd=folder, check=True)
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    untouched = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert "26 failed" in untouched.stdout
    assert "dprobs is not written yet." in untouched.stdout
    shutil.copy(ROOT / "solutions/backprop/backprop.ipynb", folder)
    solved = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert "26 passed" in solved.stdout
