"""The exercise `training`: its solution is what autograd gives, and nothing else is taken for it."""

import copy
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
import torch.nn.functional as F
from nbformat import NotebookNode

from handgrad.authoring.cases import Case, read_cases
from handgrad.exercise.exercise import Exercise, grade_id
from handgrad.exercise.reference import run_locked
from handgrad.exercise.release_file import read_released
from handgrad.grading.grader import Grader
from handgrad.grading.settings import GradingSettings
from handgrad.grading.solution_values import ROUNDING, TOLERANCE, SolutionValues
from handgrad.notebook.reading import read_notebook
from handgrad.report.records import Report
from handgrad.sandbox.isolation.limits import Limits
from handgrad.submission.submission import Submission
from helpers import shortened
from helpers.paths import MISTAKES, ROOT
from helpers.warm_grader import warm_grader

SEED = 271828
EXERCISE = shortened.exercise("training")
SOLVED = shortened.solved("training")
RELEASE = nbformat.read(ROOT / "release/training/training.ipynb", as_version=4)
CASES = read_cases(MISTAKES, EXERCISE)
NAMES = ("C", "W1", "b1", "W2", "b2", "bngain", "bnbias")


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    """A warm grader of the shortened notebook."""
    with warm_grader(EXERCISE, [SEED], settings=GradingSettings(limits=Limits(cell_seconds=6.0))) as grader:
        yield grader


def _graded(grader: Grader, notebook: NotebookNode) -> Report:
    return grader.grade(Submission.of(notebook, EXERCISE)).report


def _solved(**stubs: str) -> NotebookNode:
    """The worked solution, some stubs replaced."""
    return Case("some", "", "training", "solution", 0.0, cells=stubs).notebook(RELEASE, SOLVED)


def _without_bessel() -> NotebookNode:
    """The worked solution with n for n - 1 in the gradient of batch norm.

    No case of `tests/cases`: after ten steps `W2` is off by about the tolerance, so its outcome depends on the seed.
    """
    (backward,) = (cell.source for cell in SOLVED.cells if grade_id(cell) == "backward")
    factor = " n / (n - 1) *"
    assert factor in backward
    return _solved(backward=backward.replace(factor, ""))


def test_a_missing_bessel_correction_is_found(grader: Grader) -> None:
    """A factor of 31/32 in one branch fails the two parameters that it reaches, and no other one."""
    failed = [verdict.gradient for verdict in _graded(grader, _without_bessel()).checks if verdict.outcome != "passed"]
    assert failed == ["C", "W1"]


def test_enough_cases() -> None:
    """There are at least six mistakes and two right answers in an unusual style."""
    assert len([case for case in CASES if 0 < case.score < 9]) >= 6
    assert len([case for case in CASES if case.score == 9]) >= 2


def _by_autograd(parameters: dict[str, Any], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """What the steps that are asked for make of the parameters, by autograd's gradients and nobody's formula."""
    setup = run_locked(EXERCISE, parameters)
    values = {name: setup[name].to(dtype).requires_grad_() for name in NAMES}
    for i in range(parameters["steps"]):
        contexts, labels = setup["minibatch"](i)
        emb = F.embedding(contexts, values["C"]).flatten(1)
        hprebn = F.linear(emb, values["W1"].T, values["b1"])
        deviation = torch.sqrt(hprebn.var(0) + 1e-5)
        h = torch.tanh((hprebn - hprebn.mean(0)) / deviation * values["bngain"] + values["bnbias"])
        loss = F.cross_entropy(F.linear(h, values["W2"].T, values["b2"]), labels)
        gradients = torch.autograd.grad(loss, list(values.values()))
        rate = 0.1 if i < parameters["decay_step"] else 0.01
        stepped = zip(values.items(), gradients, strict=True)
        values = {name: (value - rate * gradient).detach().requires_grad_() for (name, value), gradient in stepped}
    return {name: value.detach() for name, value in values.items()}


@pytest.mark.parametrize(("seed", "steps"), [(1, 1), (2, 10), (3, 20)])
def test_the_solution_is_autograd_s(seed: int, steps: int) -> None:
    """After up to 20 steps the worked solution is within a third of the allowance of autograd's, in any precision."""
    parameters = {"seed": seed, "steps": steps, "decay_step": (steps + 1) // 2}
    worked = SolutionValues.of(EXERCISE, parameters)
    for dtype in (torch.float32, torch.float64):
        for name, value in _by_autograd(parameters, dtype).items():
            allowance = max(
                TOLERANCE * float(worked.change(name).abs().max()), ROUNDING * float(worked.after[name].abs().max())
            )
            assert TOLERANCE * worked.scale(name) == pytest.approx(allowance)
            assert float((worked.after[name].double() - value).abs().max()) <= allowance / 3, name


def test_b1_stays(grader: Grader) -> None:
    """The bias in front of batch norm is the one value that the training leaves alone."""
    for worked in grader.values.solutions.values():
        assert [name for name in NAMES if not worked.moves(name)] == ["b1"]


def test_pasted_parameters_earn_nothing(grader: Grader) -> None:
    """Trained parameters that are pasted into the notebook are right in it, and nowhere else."""
    graded = grader.grade(Submission.of(_solved(), EXERCISE))
    assert graded.report.passed
    trained = {name: graded.answers["visible"][name].at_stub for name in NAMES}
    lines = [
        f"{name} = torch.tensor({answer.value.tolist()})"
        for name, answer in trained.items()
        if answer and answer.value is not None
    ]
    assert len(lines) == len(NAMES)
    report = _graded(grader, _solved(train="\n".join(lines)))
    assert {verdict.outcome for verdict in report.checks} == {"failed"}
    assert report.score == 0


def test_differences_for_gradients_are_too_coarse(grader: Grader) -> None:
    """Numerical differentiation, which needs no formula, is told from the gradients by the tolerance."""
    source = """
    def loss_of(name, value):
        before, globals()[name] = globals()[name], value
        loss = scores_on(Xb, Yb)
        globals()[name] = before
        return loss

    def scores_on(Xb, Yb):
        hprebn = before_norm(Xb)
        bnraw = (hprebn - hprebn.mean(0)) * (hprebn.var(0) + 1e-5)**-0.5
        return F.cross_entropy(torch.tanh(bngain * bnraw + bnbias) @ W2 + b2, Yb)

    gradients = []
    for name in start:
        value = globals()[name]
        gradient = torch.zeros_like(value)
        for place in range(value.numel()):
            nudge = torch.zeros_like(value)
            nudge.view(-1)[place] = 1e-3
            gradient.view(-1)[place] = (loss_of(name, value + nudge) - loss_of(name, value - nudge)) / 2e-3
        gradients.append(gradient)
    return scores_on(Xb, Yb), gradients"""
    head = "@torch.no_grad()\ndef backward(Xb, Yb):"
    train = next(cell.source for cell in SOLVED.cells if grade_id(cell) == "train")
    report = _graded(
        grader, _solved(backward=head + source, train=train.replace("range(steps)", "range(1 if steps == 1 else 0)"))
    )
    assert {verdict.gradient for verdict in report.checks if verdict.outcome != "failed"} <= {"b1"}


def test_outputs_stay_small(grader: Grader) -> None:
    """What the training shows is a progress bar of a few kilobytes, a curve and names; nothing raises."""
    graded = grader.grade(Submission.of(_solved(), EXERCISE))
    shown = [output for outputs in graded.outputs.values() for output in outputs]
    assert {output["output_type"] for output in shown} == {"stream", "display_data"}
    assert sum(len(output["text"]) for output in shown if output["output_type"] == "stream") < 6000
    assert any("image/png" in output.get("data", {}) for output in shown)


def test_the_release_knows_what_the_solution_gives() -> None:
    """The recorded arrays are those of the source's solution, up to the rounding of another processor."""
    source = Exercise.read(shortened.source("training"))
    released = read_released(ROOT / "release/training/exercise.json")
    assert [run.parameters["steps"] for run in released.recorded] == [1, 10]
    for run in released.recorded:
        worked = SolutionValues.of(source, run.parameters)
        assert set(run.values) == set(NAMES)
        for name, value in run.values.items():
            assert float((value - worked.after[name]).abs().max()) <= TOLERANCE * worked.scale(name) / 3


def test_a_student_checks_at_home() -> None:
    """With the release alone, which has no solution, right is right and wrong is wrong."""
    released = read_released(ROOT / "release/training/exercise.json")
    assert not any("BEGIN SOLUTION" in cell.source for cell in released.cells)
    short = {cell.name: cell for cell in EXERCISE.cells if cell.name in shortened.CHANGES["training"]}
    cells = tuple(short.get(cell.name, cell) for cell in released.cells)
    here = replace(released, cells=cells, checks=EXERCISE.checks, directory=EXERCISE.directory, released_in=None)
    with warm_grader(here, [1]) as home:
        for case in CASES:
            if case.name in ("trains-uphill", "trains-with-db2-unsummed", "right-trains-in-double"):
                report = home.grade(Submission.of(case.notebook(RELEASE, SOLVED), home.exercise)).report
                assert {verdict.gradient: verdict.outcome for verdict in report.checks} == case.expected(EXERCISE)


def test_the_notebook_runs_as_plain_python(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In a student's own process the comparison with autograd says right seven times, and every check holds."""
    monkeypatch.chdir(shortened.source("training").parent)
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: None)
    namespace: dict[str, Any] = {}
    for cell in SOLVED.cells:
        if cell.cell_type == "code":
            exec(cell.source, namespace)
    printed = capsys.readouterr().out
    assert printed.count("| right |") == 7
    assert "not yet" not in printed
    assert printed.count("moved by") == 7


def test_the_comparison_at_home_tells_a_mistake(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is trained, the comparison with autograd names the gradients that are not right."""
    monkeypatch.chdir(shortened.source("training").parent)
    namespace: dict[str, Any] = {}
    for cell in _without_bessel().cells:
        if grade_id(cell) == "train":
            break
        if cell.cell_type == "code":
            exec(cell.source, namespace)
    printed = capsys.readouterr().out
    lines = [line.split("|")[:2] for line in printed.splitlines() if line.startswith("d")]
    assert [name.strip() for name, said in lines if said.strip() == "not yet"] == ["dC", "dW1"]


@pytest.mark.slow
def test_the_full_training() -> None:
    """The worked solution gets every point of the notebook as it is, at the loss that the notebook states."""
    exercise = Exercise.read(shortened.source("training"))
    notebook = read_notebook(ROOT / "solutions/training/training.ipynb")
    (check,) = [check for check in exercise.checks if check.id == "check_train"]
    assert "2.219 + 0.02" in check.source
    with warm_grader(exercise, [SEED]) as grader:
        graded = grader.grade(Submission.of(notebook, exercise))
        assert graded.report.score == 9
        namespace = dict(grader.values.namespace)
        answers = {name: graded.answers["visible"][name].at_stub for name in NAMES}
        grader.values.namespace.update({name: answer.value for name, answer in answers.items() if answer})
        assert namespace["split_loss"](namespace["Xdev"], namespace["Ydev"]) == pytest.approx(2.219, abs=0.005)


@pytest.mark.slow
def test_handgrad_check(tmp_path: Path) -> None:
    """The command that a student runs in the released folder gives full marks to the worked solution."""
    for path in (ROOT / "release/training").iterdir():
        if path.suffix != ".whl":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "training.ipynb").write_bytes((ROOT / "solutions/training/training.ipynb").read_bytes())
    command = [str(Path(sys.executable).parent / "handgrad"), "check", "training.ipynb"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Score: 9 of 9 points" in done.stdout
    assert "All 8 answers are right." in done.stdout


def _stripped(notebook: NotebookNode) -> NotebookNode:
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
    return notebook


def test_metadata_may_be_lost(grader: Grader) -> None:
    """Where a tool has taken nbgrader's metadata away, the answers are where the cells around them say."""
    report = _graded(grader, _stripped(copy.deepcopy(SOLVED)))
    assert report.score == 9
    assert "the cell there counts" in report.message
    split = _solved()
    place = next(index for index, cell in enumerate(split.cells) if grade_id(cell) == "train")
    first, rest = split.cells[place].source.split("\n", 1)
    split.cells[place : place + 1] = [nbformat.v4.new_code_cell(first), nbformat.v4.new_code_cell(rest)]
    assert _graded(grader, split).score == 9
