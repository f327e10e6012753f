"""`handgrad verify`: a sound course is proved, every fault is named, and a weak check leaves survivors."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode
from typer.testing import CliRunner

from handgrad.authoring.cases import Case
from handgrad.authoring.new_exercise import new_exercise
from handgrad.authoring.release import release
from handgrad.authoring.verify.claims import (
    faults_of_case,
    faults_of_cells,
    faults_of_randomness,
    faults_of_release,
    open_answers,
)
from handgrad.authoring.verify.dry_run import DryRun, drift, dry_run_of
from handgrad.authoring.verify.equivalence import NEGLIGIBLE, Settings
from handgrad.authoring.verify.mutation_testing import mutation
from handgrad.authoring.verify.results import Fault, Mutation, Proof, Survivor, as_json, as_text, status
from handgrad.authoring.verify.verify import verify
from handgrad.cli import app
from handgrad.course.course import Course
from handgrad.course.nbgrader.configuration import what_is_missing
from handgrad.errors import CourseError
from handgrad.exercise.exercise import Exercise, grade_id, kind_of
from handgrad.exercise.reference import Reference
from handgrad.grading.grader import Grader
from handgrad.grading.mutants import Mutant
from handgrad.grading.settings import GradingSettings
from helpers.paths import ROOT

RUNNER = CliRunner()
FIGURES = ROOT / "docs/author/verify.md"
SCRIPT = '''"""A layer.

It is small.
"""

import torch

seed = 3
n, width = 4, 3

g = torch.Generator().manual_seed(seed)
x = torch.randn((n, width), generator=g)
w = torch.randn((width, width), generator=g).requires_grad_()
b = torch.randn(width, generator=g).requires_grad_()

pre = x @ w + b
h = pre.tanh()
loss = h.square().mean()
'''
READS = """with open("data/words.txt") as file:
    n_words = len(file.read().split())
"""
SOLUTIONS = {
    "dh": "dh = 2 * h / (n * width)",
    "dpre": "dpre = dh * (1 - h**2)",
    "dw": "dw = x.T @ dpre",
    "db": "db = dpre.sum(0)",
}


def _filled(path: Path, **cells: str) -> NotebookNode:
    """Fill the solutions of a new exercise and its texts; ``cells`` are sources of other cells by their ids."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if kind_of(cell) == "stub":
            cell.source = f"### BEGIN SOLUTION\n{SOLUTIONS[grade_id(cell)]}\n### END SOLUTION"
        cell.source = cells.get(cell.id, cell.source.replace("TODO", "Look"))
    nbformat.write(notebook, path)
    return notebook


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """A course without assignments."""
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    (tmp_path / "forward.py").write_text(SCRIPT, encoding="utf-8")
    return Course.at(tmp_path)


@pytest.fixture
def layer(course: Course) -> Path:
    """The notebook of a small exercise in it, solved."""
    path = new_exercise(course, "layer", course.root / "forward.py")
    _filled(path)
    return path


def _release(course: Course, *assignments: str) -> None:
    """Write release and solutions, as nbgrader makes them."""
    for assignment in assignments:
        with dry_run_of(course, assignment) as stage:
            for kind in ("release", "solution"):
                shutil.copytree(stage.path(kind).parent, course.folder(kind) / assignment)


def _files(course: Course) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in course.root.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_every_fault_in_one_run(course: Course) -> None:
    """Every fault of an exercise is named in one run, what is not written is listed, and nothing is changed."""
    faulty = new_exercise(course, "faulty", course.root / "forward.py")
    new_exercise(course, "unwritten", course.root / "forward.py")
    told = "### `dw`\n\nThe answer is\n\n    dw = x.T @ dpre"
    wrong = "### BEGIN SOLUTION\ndpre = dh * (1 - h)\n### END SOLUTION"
    _filled(faulty, about_dw=told, dpre=wrong)
    _release(course, "faulty")
    (course.root / "release/faulty/test_faulty.py").write_text("x = 1\n")
    shutil.rmtree(course.root / "solutions/faulty")
    case = course.root / "tests/cases/mistakes/no-slope.toml"
    case.parent.mkdir(parents=True)
    facts = 'about = "No slope."\nassignment = "faulty"\nstart = "solution"\nscore = 4\n'
    case.write_text(facts + '[cells]\ndpre = "dpre = dh"\n')
    before = _files(course)
    found, unwritten = verify(course)
    assert _files(course) == before
    said = {(fault.file, fault.what) for fault in found.faults}
    for file, what in (
        ("release/faulty/test_faulty.py", "it differs from what the source gives"),
        ("solutions/faulty", "it is missing"),
        ("release/faulty/faulty.ipynb", "a solution is in the text of cell 17 (### `dw`): 'dw = x.T @ dpre'"),
        ("tests/cases/mistakes/no-slope", "dpre is failed, not passed"),
        ("tests/cases/mistakes/no-slope", "it gets 3 points, not 4"),
        ("source/faulty/faulty.ipynb", "the worked solution of dpre is failed (handgrad grade)"),
        ("source/faulty/faulty.ipynb", "the worked solution of dpre is failed (handgrad check)"),
        ("source/faulty/faulty.ipynb", "nbgrader autograde gives the solved notebook 3.0 points, not 4"),
    ):
        assert any(place == file and text.startswith(what) for place, text in said), (what, said)
    assert sum("a solution is in" in what for _, what in said) == 1, "its copies are the same fault"
    assert not any("no solution" in claim for claim in found.proved)
    assert unwritten.open == ("dh", "dpre", "dw", "db")
    assert "every released stub is missing" in unwritten.proved
    assert found.absent == ("pytest was not run: the course has no tests/hidden",)
    assert any("texts contain TODO" in fault.what for fault in unwritten.faults)


@pytest.mark.slow
def test_a_new_exercise_is_sound(course: Course, layer: Path) -> None:
    """What `handgrad new` wrote and an author filled is proved, and the command says so in JSON."""
    _release(course, "layer")
    found = _verified(course)
    assert found["faults"] == []
    assert not found["since"]
    assert "the worked solution has full marks by nbgrader autograde" in found["proved"]
    assert found["absent"] == [
        "no known mistake of layer was tried: tests/cases/mistakes has none",
        "pytest was not run: the course has no tests/hidden",
    ]
    assert not any("known mistake" in claim or "pytest" in claim for claim in found["proved"])
    assert found["mutation"]["survivors"] == []
    assert found["mutation"]["killed"] > 40
    again = _verified(course)
    assert again.pop("since")
    assert again == {name: value for name, value in found.items() if name != "since"}


def _verified(course: Course) -> dict[str, Any]:
    """What the command says about the only assignment, which is sound."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [sys.executable, "-m", "handgrad.cli", "verify", "--mutants", "--format", "json"],
        cwd=course.root,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = json.loads(done.stdout)["assignments"]
    return dict(found)


@pytest.fixture
def words(course: Course) -> Path:
    """A file in a folder next to the notebook of an exercise, which is released."""
    words = course.folder("source") / "layer/data/words.txt"
    words.parent.mkdir(parents=True)
    words.write_text("one two three four")
    script = course.root / "forward.py"
    script.write_text(SCRIPT.replace("x = torch", READS + "x = torch"))
    _filled(new_exercise(course, "layer", script))
    _release(course, "layer")
    return words


@pytest.mark.slow
def test_files_in_a_folder_are_there(course: Course, words: Path) -> None:
    """A file in a folder next to the notebook is there when it is graded and checked."""
    (proof,) = verify(course)
    assert proof.sound, proof.faults
    assert "the worked solution has full marks by handgrad check" in proof.proved


def test_files_in_a_folder(course: Course, words: Path) -> None:
    """A file in a folder next to the notebook is released and compared with it."""
    assert (course.folder("release") / "layer/data/words.txt").is_file()
    words.write_text("one two three five")
    with dry_run_of(course, "layer") as stage:
        assert [fault.file for fault in drift(stage)] == [
            "release/layer/data/words.txt",
            "solutions/layer/data/words.txt",
        ]


def test_what_the_configuration_names(course: Course, layer: Path) -> None:
    """A dry run has every file of the course that its configuration names; one that is missing is named."""
    header = course.folder("source") / "shared/header.ipynb"
    header.parent.mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("Week 3", id="week")]), header)
    (course.root / "more.py").write_text(
        "c = get_config()\nc.IncludeHeaderFooter.header = 'source/shared/header.ipynb'\n"
    )
    with (course.root / "nbgrader_config.py").open("a") as config:
        config.write("load_subconfig('more.py')\nc.CourseDirectory.release_directory = 'out/release'\n")
    (course.root / "out").mkdir()
    before = _files(course)
    with dry_run_of(Course.at(course.root), "layer") as stage:
        assert stage.notebook("release").cells[0].source == "Week 3"
    assert _files(course) == before
    header.unlink()
    with (
        pytest.raises(CourseError, match=r"source/shared/header\.ipynb cannot be written or read: No such file"),
        dry_run_of(Course.at(course.root), "layer"),
    ):
        pass


def test_unknown_assignment(course: Course, layer: Path) -> None:
    """An assignment that is not there is a mistake of who asked, not a fault of the course."""
    with pytest.raises(CourseError, match="there is no assignment 'layr'"):
        verify(course, ["layr"])


def test_no_exercise(course: Course, layer: Path) -> None:
    """What is no exercise is a fault with its reasons, and the next one is looked at."""
    notebook = nbformat.read(layer, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if grade_id(cell) != "check_dw"]
    nbformat.write(notebook, layer)
    (proof,) = verify(course)
    assert not proof.sound
    assert "stub 'dw' has no check" in proof.faults[0].what


def test_without_our_steps(course: Course, layer: Path, make_notebook: Callable[..., NotebookNode]) -> None:
    """A course that lacks handgrad's steps releases no exercise; the message has the lines, and with them it does."""
    config = course.root / "nbgrader_config.py"
    config.write_text("c = get_config()\nc.CourseDirectory.solution_directory = 'solutions'\n")
    bare = Course.at(course.root)
    with pytest.raises(CourseError, match="lacks handgrad's steps") as caught:
        next(release(bare))
    assert not bare.folder("release").exists()
    (proof,) = verify(bare)
    assert [fault.what for fault in proof.faults] == [str(caught.value).rstrip(".")]
    done = RUNNER.invoke(
        app, ["new", "other", "--forward", str(course.root / "forward.py"), "--course", str(course.root)]
    )
    assert str(caught.value) in done.stderr
    lines = re.search(r"\n\n(.*)\n\n", str(caught.value), re.DOTALL)
    assert lines
    assert all(line in (ROOT / "nbgrader_config.py").read_text() for line in lines[1].splitlines())
    config.write_text(f"{config.read_text()}\n{lines[1]}\n")
    whole = Course.at(course.root)
    assert not what_is_missing(whole)
    with dry_run_of(whole, "layer") as stage:
        assert "dh = None  # your code here" in [cell.source for cell in stage.notebook("release").cells]
    config.write_text(
        config.read_text().replace("= handgrad.generate_assignment()", "= ['handgrad.nbgrader.NameStubs']")
    )
    assert "c.GenerateAssignment.preprocessors" in what_is_missing(Course.at(course.root))


@pytest.mark.slow
def test_ordinary_assignment_without_our_steps(course: Course, make_notebook: Callable[..., NotebookNode]) -> None:
    """In a course without handgrad's steps ordinary assignments are released as ever."""
    (course.root / "nbgrader_config.py").write_text("c = get_config()\n")
    path = course.exercise_path("sums")
    path.parent.mkdir(parents=True)
    nbformat.write(make_notebook(("free", "", "total = sum")), path)
    (released,) = release(Course.at(course.root))
    assert (released.folder / "sums.ipynb").is_file()
    assert not released.wheel


def test_ordinary_assignment(course: Course, make_notebook: Callable[..., NotebookNode]) -> None:
    """An ordinary assignment of nbgrader's is listed as such, and is no fault."""
    path = course.exercise_path("sums")
    path.parent.mkdir(parents=True)
    cells = (("stub", "total", "total = sum"), ("check", "test_total", "assert total([1]) == 1"))
    nbformat.write(make_notebook(*cells), path)
    proofs = verify(course)
    assert proofs == (Proof("sums", absent=("not an exercise of handgrad: left to nbgrader",), ordinary=True),)
    assert status(proofs) == 0
    assert as_text(proofs).splitlines() == [
        "sums",
        "- not an exercise of handgrad: left to nbgrader.",
        "",
        "1 assignment: 0 sound, 1 left to nbgrader; 0 faults, 0 solutions to write.",
    ]


def test_texts_marks_and_points(course: Course, layer: Path) -> None:
    """A stub needs a text above it and nbgrader's marks around its solution, a check points."""
    notebook = nbformat.read(layer, as_version=4)
    for cell in notebook.cells:
        if cell.id == "dh":
            cell.source = "dh = None"
        if cell.id == "check_dw":
            cell.metadata["nbgrader"]["points"] = 0
        if cell.id == "about_db":
            cell.source = "Almost done."
    exercise = Exercise.of(notebook, "layer", layer.parent)
    whats = [fault.what for fault in faults_of_cells(exercise, "here")]
    assert len(whats) == 3
    assert whats[0].startswith("the solution of dh is not between")
    assert whats[1] == "there is no text above the cell of db that names it"
    assert whats[2] == "check_dw is worth 0 points"
    assert open_answers(exercise) == ("dh",)


def test_randomness(make_exercise: Callable[..., Exercise]) -> None:
    """A locked cell that draws without a seed is named, with the tensor; one with a seed is not."""
    loose = "import torch\nw = torch.randn(3).requires_grad_()\nloss = w.sum()"
    (fault,) = faults_of_randomness(make_exercise(loose, "w"), "here")
    assert fault.what == "the locked cell 'forward' gives a different w each time, even with the same seed"
    strict = loose.replace("w = ", "torch.manual_seed(seed)\nw = ")
    assert not list(faults_of_randomness(make_exercise(strict, "w"), "here"))


def test_drift(tmp_path: Path) -> None:
    """What is missing, foreign and changed in release and solutions is named, file by file."""
    courses = []
    for name in ("course", "stage"):
        for kind in ("release", "solutions"):
            (tmp_path / name / kind / "layer").mkdir(parents=True)
        (tmp_path / name / "nbgrader_config.py").write_text(
            "c = get_config()\nc.CourseDirectory.solution_directory = 'solutions'\n"
        )
        courses.append(Course.at(tmp_path / name))
    dry_run = DryRun(courses[0], courses[1], "layer")
    assert not list(drift(dry_run))
    for name, text in (("course/release", "old"), ("stage/release", "new"), ("stage/solutions", "new")):
        (tmp_path / name / "layer" / "facts.txt").write_text(text)
    (tmp_path / "course/solutions/layer/mine.txt").write_text("mine")
    (tmp_path / "course/release/layer/handgrad.whl").write_text("the wheel is not committed")
    for file in ("course/release/layer/data/words.txt", "stage/release/layer/data/words.txt"):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).write_text(f"those of the {file[:5]}")
    for file in ("stage/solutions/layer/data/more.txt", "course/solutions/layer/__pycache__/test.pyc"):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).touch()
    assert [(fault.file, fault.what) for fault in drift(dry_run)] == [
        ("release/layer/data/words.txt", "it differs from what the source gives"),
        ("release/layer/facts.txt", "it differs from what the source gives"),
        ("solutions/layer/data/more.txt", "it is missing"),
        ("solutions/layer/facts.txt", "it is missing"),
        ("solutions/layer/mine.txt", "it does not come from the source"),
    ]


@pytest.fixture(scope="module")
def notebooks(solved: NotebookNode) -> tuple[NotebookNode, NotebookNode]:
    """The release of backprop, and its solution."""
    return nbformat.read(ROOT / "release/backprop/backprop.ipynb", as_version=4), solved


def test_cases(grader: Grader, notebooks: tuple[NotebookNode, NotebookNode]) -> None:
    """A case whose outcome, diagnosis or score is not what its folder says is a fault; a true one is none."""
    cells = {"dcounts": "dcounts = counts_sum_inv * dprobs"}

    def whats(outcome: str, mistake: str, score: float) -> list[str]:
        case = Case(
            "slip", "A slip.", "backprop", "solution", score, {"dcounts": outcome}, {"dcounts": mistake}, cells=cells
        )  # type: ignore[arg-type]
        return [fault.what for fault in faults_of_case(case, grader, *notebooks, "tests/cases/mistakes/slip")]

    assert whats("failed", "missing-branch", 25.0) == []
    assert whats("failed", "transposed", 25.0) == ["the diagnosis of dcounts is missing-branch, not transposed"]
    assert whats("passed", "missing-branch", 26.0) == [
        "dcounts is failed, not passed",
        "it gets 25 points, not 26",
    ]


def test_release_is_missing(grader: Grader, notebooks: tuple[NotebookNode, NotebookNode]) -> None:
    """Every released stub counts as missing; one that holds its answer does not."""
    assert faults_of_release(grader, notebooks[0], "here") == []
    faults = faults_of_release(grader, notebooks[1], "here")
    assert len(faults) == 26
    assert faults[0].what == "the released dlogprobs is passed, not missing"


def _mutation(exercise: Exercise, notebook: NotebookNode) -> Mutation:
    with Grader(exercise, [5], settings=GradingSettings(trust=True)) as grader:
        return mutation(grader, notebook)


def test_a_weak_check_leaves_survivors(layer: Path) -> None:
    """A check that does not look at the answer lets mutants pass, and each is shown; the others kill theirs."""
    notebook = nbformat.read(layer, as_version=4)
    weak = "cmp('pre', pre.grad, pre)"
    for cell in notebook.cells:
        if cell.id == "check_dpre":
            cell.source = weak
    found = _mutation(Exercise.of(notebook, "layer", layer.parent), notebook)
    assert {mutant.answer for mutant in found.survivors} == {"dpre"}
    assert any(mutant.diff == "- dpre = dh * (1 - h ** 2)\n+ dpre = dh" for mutant in found.survivors)
    assert found.killed > 0


def test_equivalent_mutants(exercise: Exercise, solutions: dict[str, str]) -> None:
    """What is right another way is equivalent; a mistake is not, be it too small for a comparison."""
    settings = Settings(exercise, solutions, {})
    assert len(settings.random) >= 5, "three seeds, other sizes, and new weights"
    assert settings.equivalent(Mutant("dh", "", "dh = (W2 @ dlogits.T).T", ""))
    assert not settings.equivalent(Mutant("dh", "", "dh = 1.0001 * dlogits @ W2.T", ""))
    assert not settings.equivalent(Mutant("dh", "", "dh = dlogits @ W2", ""))
    assert not settings.equivalent(Mutant("db1", "", "db1 = -dhprebn.sum(0)", "")), "the loss cannot tell, noise can"
    forgotten = Mutant("dbnvar", "", "dbnvar = -0.5 * bnvar**-1.5 * dbnvar_inv", "")
    assert not settings.equivalent(forgotten)
    assert settings.equivalent(forgotten, NEGLIGIBLE)


def test_weights_anew(exercise: Exercise, solutions: dict[str, str]) -> None:
    """One of the settings has weights that the notebook would never draw."""
    settings = Settings(exercise, solutions, {})
    first = Reference.of(exercise, {"seed": 7}).namespace["bngain"]
    gains = [setting["dC"]["bngain"] for setting in settings.random]
    assert not any(gain.shape == first.shape and gain.equal(first.double()) for gain in gains[-1:])
    assert gains[-1].std() > 2 * first.std(), "a gain is drawn close to 1"


PROOFS = (
    Proof(
        "sound",
        proved=("all is well",),
        absent=("no test is there",),
        mutation=Mutation(5, (Survivor("dx", "transposed", "- a\n+ b"),)),
    ),
    Proof(
        "faulty",
        faults=(Fault("source/faulty/faulty.ipynb", "it is wrong", "fix it"),),
        open=("dx", "dy"),
        mutation=Mutation(5, survivors=(Survivor("dx", "zero", "+ dx = 0"),)),
    ),
)


def test_shown() -> None:
    """A proof is read as sentences, and its exit status says whether all is sound."""
    text = as_text(PROOFS, width=100)
    for line in (
        "✓ all is well",
        "- no test is there.",
        "✗ source/faulty/faulty.ipynb: it is wrong.",
        "Try: fix it.",
        "2 solutions to write: dx, dy.",
        "dx, zero: survives",
        "dx, transposed: is equivalent",
        "2 assignments: 1 sound; 1 fault, 2 solutions to write.",
    ):
        assert line in " ".join(text.split()) or line in text
    assert "\x1b" not in text
    assert (status(PROOFS), status(PROOFS[:1])) == (1, 0)
    data = json.loads(as_json(PROOFS))
    assert data["schema"] == 1
    assert [proof["sound"] for proof in data["assignments"]] == [True, False]
    assert data["assignments"][0]["mutation"]["killed"] == 4


@pytest.mark.parametrize(
    "assignment",
    [
        pytest.param(name, marks=pytest.mark.slow if name == "cross_entropy" else pytest.mark.proof)
        for name in Course.at(ROOT).assignments()
    ],
)
def test_shipped_exercises_are_sound(assignment: str) -> None:
    """A shipped exercise has no fault, no mutant survives its checks, and docs/author/verify.md has the figures."""
    (proof,) = verify(Course.at(ROOT), [assignment], mutants=True, more_seeds=[1])
    assert proof.faults == ()
    found = proof.mutation
    assert found is not None
    assert found.survivors == ()
    row = re.search(rf"^\| `{assignment}` ((?:\| \d+ ){{5}})\|$", FIGURES.read_text(encoding="utf-8"), re.MULTILINE)
    assert row, "docs/author/verify.md names the figures"
    made, killed, equivalent, negligible, survive = (int(figure) for figure in row[1].split("|")[1:])
    assert (made, killed, survive) == (found.mutants, found.killed, 0)
    # a difference of 1e-9 is rounding on one machine and just more on another, whose sums have another order
    assert equivalent + negligible == len(found.equivalent) + len(found.negligible)
