"""The exercise `gradient_check`: what its solution measures is what autograd finds, whichever formulas are wrong."""

from typing import Any

import pytest
import torch

from handgrad.exercise.reference import run_locked
from handgrad.grading.solution_values import TOLERANCE, SolutionValues
from helpers.exercises import EXERCISES

EXERCISE = EXERCISES["gradient_check"]
SEEDS = range(20)


def _known(seed: int) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The names of the locked cells, and the values of the worked solution."""
    parameters = {"seed": seed}
    return run_locked(EXERCISE, parameters), dict(SolutionValues.of(EXERCISE, parameters).after)


def _slope(function: Any, at: torch.Tensor) -> torch.Tensor:
    leaf = at.clone().requires_grad_()
    (found,) = torch.autograd.grad(function(leaf), leaf)
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_the_verdict_is_autograd_s(seed: int) -> None:
    """Errors, verdict and slopes along directions are those that autograd's gradients give; two or three are wrong."""
    setup, values = _known(seed)
    for number, (function, x, formula) in enumerate(setup["formulas"]):
        true, claim, along = _slope(function, x), formula(x), setup["directions"][number]
        error = (claim - true).abs().max() / torch.stack([claim, true]).abs().max()
        assert float((values["errors"][number] - error).abs()) <= TOLERANCE * float(values["errors"].max()) / 3
        assert bool(values["wrong"][number]) == (not torch.allclose(claim, true))
        # a gulf, so that any threshold in it will do
        assert not 1e-9 < float(values["errors"][number]) < 0.05
        assert float(values["measured"][number]) == pytest.approx(float((true * along).sum()), rel=1e-6, abs=1e-8)
        assert float(values["claimed"][number]) == pytest.approx(float((claim * along).sum()))
    assert values["wrong"].sum() in (2, 3)


def test_every_formula_is_wrong_now_and_then() -> None:
    """Each of the five functions has a right formula with some seeds and a wrong one with others, at each place."""
    by_name, by_place = set(), set()
    for seed in SEEDS:
        setup, values = _known(seed)
        for number, (_, _, formula) in enumerate(setup["formulas"]):
            verdict = bool(values["wrong"][number])
            by_name.add((formula.__name__, verdict))
            by_place.add((number, verdict))
    assert len(by_name) == len(by_place) == 10


@pytest.mark.parametrize("seed", SEEDS)
def test_differences(seed: int) -> None:
    """A wide central difference is near autograd's gradient, and what it leaves out is what a Taylor series says."""
    setup, values = _known(seed)
    true = _slope(setup["loss_of"], setup["W"])
    assert float((values["numeric"] - true).abs().max()) < 0.02 * float(true.abs().max())
    rate = setup["rate"]
    bend = (rate * setup["spot"]).exp()
    for column, size in enumerate(setup["tried"]):
        left_out = torch.stack([rate**2 * bend * size / 2, rate**3 * bend * size**2 / 6])[:, 0]
        allowance = 0.6 * size
        assert float((values["orders"][:, column] - left_out.log10()).abs().max()) < allowance
    expected = torch.tensor([setup["steep"], setup["flat"], (setup["steep"] + setup["flat"]) / 2], dtype=torch.float64)
    torch.testing.assert_close(values["sides"], expected, rtol=1e-9, atol=1e-9)
