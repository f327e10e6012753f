"""The exercise `gpt_training`: its gradients and its training are what autograd and PyTorch's own optimizer give."""

import contextlib
from typing import Any

import nbformat
import pytest
import torch

from handgrad.exercise.exercise import Exercise, grade_id
from handgrad.exercise.reference import run_locked
from handgrad.exercise.release_file import read_released
from handgrad.grading.solution_values import ROUNDING, TOLERANCE, SolutionValues
from helpers import shortened
from helpers.paths import ROOT

EXERCISE = shortened.exercise("gpt_training")
PARTS = ("tables", "attention", "mlp", "layer_norms")
NAMES = tuple(check.gradient for check in EXERCISE.checks if check.stub == "train" and not check.is_whole)


def by_pytorch(namespace: dict[str, Any], steps: int, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The parameters after some steps of `torch.optim.AdamW` with autograd's gradients."""
    p = {name: namespace["start"][name].to(dtype).requires_grad_() for name in NAMES}
    named = ("lr", "betas", "eps", "weight_decay")
    values = (0.01, (namespace["beta1"], namespace["beta2"]), namespace["eps"], namespace["weight_decay"])
    optimizer = torch.optim.AdamW(p.values(), **dict(zip(named, values, strict=True)))
    for i in range(steps):
        optimizer.param_groups[0]["lr"] = 0.01 * (1 - i / namespace["steps"])
        optimizer.zero_grad()
        namespace["loss_of"](p, *namespace["minibatch"](i)).backward()
        optimizer.step()
    return {name: value.detach() for name, value in p.items()}


def test_what_is_asked_for() -> None:
    """The gradients in four parts, the 16 parameters, and the loss on the dev set."""
    answers = EXERCISE.answers
    assert answers["backward"] == PARTS
    assert answers["train"] == (*NAMES, "train")
    assert len(NAMES) == 16
    assert sum(check.points for check in EXERCISE.checks) == 24


@pytest.mark.parametrize(
    ("seed", "steps"), [(3, 8), *(pytest.param(*pair, marks=pytest.mark.slow) for pair in ((1, 1), (2, 3)))]
)
def test_the_solution_is_pytorch_s(seed: int, steps: int) -> None:
    """After a few steps the worked solution is within half of the allowance of PyTorch's, in any precision."""
    parameters = {"seed": seed, "steps": steps}
    worked = SolutionValues.of(EXERCISE, parameters)
    for dtype in (torch.float32, torch.float64):
        for name, value in by_pytorch(run_locked(EXERCISE, parameters), steps, dtype).items():
            allowance = max(
                TOLERANCE * float(worked.change(name).abs().max()), ROUNDING * float(worked.after[name].abs().max())
            )
            assert float((worked.after[name].double() - value).abs().max()) <= allowance / 2, (name, dtype)


def test_the_gradients_are_autograd_s() -> None:
    """What `backward` gives on the first minibatch is what autograd gives, part by part."""
    namespace = run_locked(EXERCISE, {"seed": 4})
    worked = SolutionValues.of(EXERCISE, {"seed": 4, "steps": 1})
    p = {name: namespace["start"][name].double().requires_grad_() for name in NAMES}
    loss = namespace["loss_of"](p, *namespace["minibatch"](0))
    found = dict(zip(p, torch.autograd.grad(loss, p.values()), strict=True))
    for name, expected in zip(PARTS, namespace["in_parts"]((loss, found)), strict=True):
        assert float((worked.after[name] - expected).abs().max()) <= 1e-5 * float(expected.abs().max()), name


def test_the_release_knows_what_the_solution_gives() -> None:
    """The recorded arrays are those of the source's solution."""
    released = read_released(ROOT / "release/gpt_training/exercise.json")
    assert not any("BEGIN SOLUTION" in cell.source for cell in released.cells)
    assert [run.parameters["steps"] for run in released.recorded] == [1, 3]
    source = Exercise.read(shortened.source("gpt_training"))
    for run in released.recorded:
        worked = SolutionValues.of(source, run.parameters)
        assert set(run.values) == {*NAMES, *PARTS}
        for name, value in run.values.items():
            assert float((value - worked.after[name]).abs().max()) <= TOLERANCE * worked.scale(name) / 2


@pytest.mark.slow
def test_the_whole_training(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """All steps: the loss on the dev set is within 1% of PyTorch's own training, and below that of `training`."""
    path = shortened.source("gpt_training")
    monkeypatch.chdir(path.parent)
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: None)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, f"<{grade_id(cell)}>", "exec"), namespace)
    printed = capsys.readouterr().out
    assert printed.count("| right |") == 16
    names = printed.strip().splitlines()[-1].split(", ")
    assert len(names) == 20
    assert all(name.isalpha() for name in names)
    reached = namespace["dev_loss"]
    with contextlib.redirect_stdout(None):
        theirs = by_pytorch(namespace, namespace["steps"], torch.float32)
    with torch.no_grad():
        expected = namespace["loss_of"](theirs, namespace["Xdev"], namespace["Ydev"]).item()
    assert abs(reached - expected) <= 0.01 * expected
    assert reached < 2.219
    assert reached == pytest.approx(2.106, abs=0.01)
