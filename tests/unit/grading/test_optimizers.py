"""The exercise `optimizers`: its solution is what torch.optim makes, and the data show what may go wrong."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.utils import clip_grad_norm_

from handgrad.exercise.reference import run_locked
from handgrad.grading.solution_values import TOLERANCE, SolutionValues
from helpers.exercises import EXERCISES

EXERCISE = EXERCISES["optimizers"]
Tensors = dict[str, torch.Tensor]


def _made_by(setup: dict[str, Any], optimizer: str, dtype: torch.dtype) -> Tensors:
    """What PyTorch's own optimizer and autograd's gradients make of the parameters, and of what they remember."""
    x, y = setup["X"].to(dtype), setup["Y"].to(dtype)
    weights, biases = (setup[f"{name}_start"].to(dtype, copy=True).requires_grad_() for name in "Wb")
    adam = {"lr": setup["lr_adam"], "betas": (setup["beta1"], setup["beta2"]), "eps": setup["eps"]}
    decaying = [{"params": [weights], "weight_decay": setup["decay"]}, {"params": [biases], "weight_decay": 0}]
    optimizers: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "momentum": lambda: torch.optim.SGD([weights, biases], lr=setup["lr"], momentum=setup["mu"]),
        "adam": lambda: torch.optim.Adam([weights, biases], **adam),
        "adamw": lambda: torch.optim.AdamW(decaying, **adam),
        "clip": lambda: torch.optim.SGD([weights, biases], lr=setup["lr"]),
    }
    made = optimizers[optimizer]()
    for _ in range(setup["steps"]):
        made.zero_grad()
        torch.nn.functional.mse_loss(torch.nn.functional.linear(x, weights.T, biases), y).backward()
        if optimizer == "clip":
            clip_grad_norm_([weights, biases], float(setup["max_norm"]))
        made.step()
    found = {f"W_{optimizer}": weights, f"b_{optimizer}": biases}
    for name, tensor in (("W", weights), ("b", biases)):
        if optimizer == "momentum":
            found[f"velocity_{name}"] = made.state[tensor]["momentum_buffer"]
        if optimizer == "adam":
            found |= {f"m_{name}": made.state[tensor]["exp_avg"], f"v_{name}": made.state[tensor]["exp_avg_sq"]}
    return {name: tensor.detach() for name, tensor in found.items()}


@pytest.mark.parametrize(("seed", "steps"), [(1, 1), (2, 7), (3, 7), (4, 20)])
def test_the_solution_is_torch_s(seed: int, steps: int) -> None:
    """After up to 20 steps the worked solution is within a third of the allowance of PyTorch's, in any precision."""
    parameters = {"seed": seed, "steps": steps}
    setup, worked = run_locked(EXERCISE, parameters), SolutionValues.of(EXERCISE, parameters)
    compared = set()
    for optimizer in EXERCISE.stubs:
        for dtype in (torch.float32, torch.float64):
            for name, value in _made_by(setup, optimizer, dtype).items():
                allowance = TOLERANCE * worked.scale(name)
                assert float((worked.after[name].double() - value).abs().max()) <= allowance / 3, name
                compared.add(name)
    assert compared == {check.gradient for check in EXERCISE.values}


def test_the_longest_hidden_run_clips_and_does_not() -> None:
    """Within its steps the gradient is longer than the bound at first and shorter later, for nearly every seed."""
    steps = EXERCISE.training.hidden[-1]["steps"]
    both = 0
    for seed in range(50):
        setup = run_locked(EXERCISE, {"seed": seed, "steps": steps})
        weights, biases, lengths = setup["W_start"], setup["b_start"], []
        for _ in range(steps):
            gradients = setup["gradients"](weights, biases)
            lengths.append(float(torch.cat([gradient.flatten() for gradient in gradients]).norm()))
            share = min(1.0, float(setup["max_norm"]) / lengths[-1])
            weights, biases = (
                value - setup["lr"] * share * gradient
                for value, gradient in zip((weights, biases), gradients, strict=True)
            )
        both += lengths[0] > 1.2 * float(setup["max_norm"]) and lengths[-1] < 0.9 * float(setup["max_norm"])
    assert both >= 48
