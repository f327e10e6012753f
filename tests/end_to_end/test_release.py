"""What is released is what the source gives, and is enough for a student who has nothing else."""

import json
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch

from handgrad.course.solution_recording import record_solution
from handgrad.errors import ExerciseError
from handgrad.exercise.exercise import Exercise
from handgrad.exercise.release_file import anchor, recorded_in, students_page
from helpers.exercises import FEW
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


def generate(course: Path, assignments: Sequence[str]) -> Path:
    """Fill a course with what nbgrader's own commands make of the source."""
    shutil.copytree(ROOT / "source", course / "source")
    shutil.copy(ROOT / "nbgrader_config.py", course)
    subprocess.run([sys.executable, "-c", GENERATE, *assignments], cwd=course, env=ENVIRONMENT, check=True)
    return course


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course with what nbgrader's own commands make of the source of each assignment."""
    return generate(tmp_path_factory.mktemp("generated"), ASSIGNMENTS)


def _cells(path: Path) -> Iterator[tuple[Any, ...]]:
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        yield cell.cell_type, cell.id, cell.source, json.dumps(cell.metadata, sort_keys=True)


def _assert_no_drift(generated: Path, assignments: Sequence[str]) -> None:
    for assignment in assignments:
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


def test_no_drift(tmp_path: Path) -> None:
    """The committed folders hold what the source gives: sources, ids, metadata and files beside the notebook."""
    _assert_no_drift(generate(tmp_path / "course", FEW), FEW)


@pytest.mark.slow
def test_no_drift_of_any(generated: Path) -> None:
    """The same of every assignment."""
    _assert_no_drift(generated, ASSIGNMENTS)


def _put_wheel(folder: Path) -> None:
    """Make the wheel of this version in a released folder."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(pip, check=True)


def _assert_same_exercise(made: Path, committed: Path) -> None:
    """Two exercises are the same; in what their solutions gave, another processor may round otherwise."""
    exercise, other = (json.loads(path.read_text(encoding="utf-8")) for path in (made, committed))
    for mine, theirs in zip(
        recorded_in(exercise.pop("recorded", [])), recorded_in(other.pop("recorded", [])), strict=True
    ):
        assert mine.parameters == theirs.parameters
        assert mine.values.keys() == theirs.values.keys()
        for name, value in mine.values.items():
            assert torch.allclose(value, theirs.values[name], rtol=0, atol=1e-6), f"run `make release`: {name} differs"
    assert exercise == other, f"run `make release`: {made.name} differs"


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
    _put_wheel(folder)
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    bare = ["-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt")]
    subprocess.run([python, *bare, *(str(path) for path in folder.glob("*.whl"))], cwd=folder, check=True)
    # the wheel alone brings torch, and is enough for `from handgrad import cmp`
    subprocess.run([python, "-W", "ignore", "-c", "from handgrad import cmp"], cwd=folder, check=True)
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format", "json"], capture_output=True, text=True, check=True
    ).stdout
    assert not {"nbgrader", "ipython", "nbformat"} & {package["name"].lower() for package in json.loads(listed)}
    subprocess.run([python, *bare, "-r", "requirements.txt"], cwd=folder, check=True)
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    untouched = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert "26 failed" in untouched.stdout
    assert "dprobs is not written yet." in untouched.stdout
    shutil.copy(ROOT / "solutions/backprop/backprop.ipynb", folder)
    solved = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert "26 passed" in solved.stdout


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "dlogits is not written yet."),
        pytest.param('{"cells": [', "half-written", marks=pytest.mark.slow),
    ],
    ids=["as released", "half"],
)
def test_pytest_prints_the_sentence_alone(content: str, sentence: str, tmp_path: Path) -> None:
    """A failure of a released folder's tests is a sentence, without the test's source; so is a file that is none."""
    folder = tmp_path / "cross_entropy"
    shutil.copytree(ROOT / "release" / "cross_entropy", folder)
    if content:
        (folder / "cross_entropy.ipynb").write_text(content, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert "1 failed" in done.stdout
    for source in ("def test_gradient", "pytest.fail", "Traceback", "Error"):
        assert source not in done.stdout
    assert sentence in done.stdout


def test_the_page_for_students() -> None:
    """Each release has the page for students, about itself; the copy in the package is that of the documents."""
    for copy in (ROOT / "src/handgrad/exercises/student").iterdir():
        [page] = (ROOT / "docs").glob(f"st*/{copy.name}")
        assert copy.read_text(encoding="utf-8") == page.read_text(encoding="utf-8"), "run `make release`"
    for assignment in ASSIGNMENTS:
        with named(assignment):
            text = (ROOT / "release" / assignment / "README.md").read_text(encoding="utf-8")
            assert text == students_page(assignment), "run `make release`"
            assert f"handgrad check {assignment}.ipynb" in text
            assert assignment == "backprop" or "backprop" not in text
            assert "<!--" not in text
            # what is not in the folder is not linked
            headings = {anchor(heading) for heading in re.findall(r"^#+ .+$", text, re.MULTILINE)}
            for target in re.findall(r"\]\((?!https:)([^)]*)\)", text):
                assert target.removeprefix("#") in headings, target
            for symptom in ("ModuleNotFoundError", "`cmp` is not defined", "*carried*", "*tampered*", "Hand in"):
                assert symptom.replace("`cmp`", "'cmp'") in text


@pytest.mark.parametrize("capability", ["default", pytest.param("avx2", marks=pytest.mark.slow)])
def test_recorded_values_are_those_of_every_processor(capability: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a release has of a worked solution does not depend on threads and on vector instructions."""
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", capability)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    path = ROOT / "source/training/training.ipynb"
    committed = json.loads((ROOT / "release/training/exercise.json").read_text(encoding="utf-8"))["recorded"]
    found = record_solution(Exercise.read(path), path)
    assert found
    if platform.machine() in ("x86_64", "AMD64") and torch.__version__.startswith("2.13.0"):
        assert found == committed
    else:
        for mine, theirs in zip(recorded_in(found), recorded_in(committed), strict=True):
            assert all(torch.allclose(mine.values[name], value, atol=5e-6) for name, value in theirs.values.items())


def test_a_solution_that_cannot_be_recorded(tmp_path: Path) -> None:
    """The message of the process that records is that of the release."""
    path = tmp_path / "training.ipynb"
    notebook = nbformat.read(ROOT / "source/training/training.ipynb", as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace("dlogits /= n", "raise ValueError('no')")
    nbformat.write(notebook, path)
    shutil.copy(ROOT / "data/names.txt", tmp_path)
    with pytest.raises(ExerciseError, match="the cell train raises ValueError with its worked solution: no"):
        record_solution(Exercise.read(path), path)


@pytest.mark.proof
def test_in_another_folder_with_its_own_torch(generated: Path, tmp_path: Path) -> None:
    """Where torch is installed already, as on Colab, the wheel leaves it alone, and the folder works where it is."""
    folder = tmp_path / "content"
    shutil.copytree(generated / "release" / "cross_entropy", folder)
    _put_wheel(folder)
    venv.create(tmp_path / "venv", with_pip=True)
    binaries = tmp_path / "venv" / "bin"
    [site] = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (site / "there_before.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    # the line of the page for Colab, with its folder
    [line] = re.findall(r"`!(pip install .*\[check\]\")`", (folder / "README.md").read_text(encoding="utf-8"))[:1]
    line = line.replace("/content/", f"{folder}/")
    environment = {**ENVIRONMENT, "PATH": f"{binaries}:{ENVIRONMENT['PATH']}"}

    def run(command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    where = 'python -c "import handgrad, torch; print(handgrad.__file__, torch.__file__)"'
    run(line)
    handgrad, torch_there = run(where).split()
    assert Path(handgrad).is_relative_to(tmp_path)
    assert Path(torch_there) == Path(torch.__file__)
    assert "0 of 4 points" in run("python -m handgrad.cli check cross_entropy.ipynb")
    shutil.copy(ROOT / "solutions/cross_entropy/cross_entropy.ipynb", folder)
    assert "4 of 4 points" in run("python -m handgrad.cli check cross_entropy.ipynb")
