"""Values computed by the instructor's solution for one parameter set: the reference for what is not a gradient.

Runs the instructor's cells in this process: never give it a student's. A release has no solution; what it would give
for parameters of its own travels with it, as arrays.
"""

import base64
import random
from collections.abc import Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass
from typing import Any, Self

import torch

from handgrad.errors import ExerciseError
from handgrad.exercise.exercise import Exercise
from handgrad.exercise.reference import run_locked
from handgrad.gradients.tensor_bytes import pack_tensor
from handgrad.grading.passes import Pass, plan_values
from handgrad.notebook import execution

__all__ = ["ROUNDING", "TOLERANCE", "SolutionValues", "passes_of", "record"]


@dataclass(frozen=True)
class SolutionValues:
    """The values of an exercise for one parameter set, before and after the worked solution.

    Attributes
    ----------
    before
        The floating-point tensors that the locked cells before the first stub leave.
    after
        The same when the solution has run, and those that it makes.
    """

    before: Mapping[str, torch.Tensor]
    after: Mapping[str, torch.Tensor]

    @classmethod
    def of(cls, exercise: Exercise, pass_: Pass) -> Self:
        """What the solution of ``exercise`` gives in a pass; where it is a release, what was recorded.

        Raises
        ------
        ExerciseError
            A cell raises, or the solution leaves every value of a stub as it was.
        """
        namespace = run_locked(exercise, pass_.parameters)
        before = _tensors(namespace)
        known = [recorded.values for recorded in exercise.recorded if recorded.parameters == pass_.parameters]
        if not known:
            _run_solution(exercise, namespace)
        worked = cls(before, known[0] if known else _tensors(namespace))
        worked._validate(exercise)
        return worked

    def _validate(self, exercise: Exercise) -> None:
        """What is asked for must be there, and the solution must have done something."""
        for stub in dict.fromkeys(check.stub for check in exercise.values):
            names = [check.gradient for check in exercise.values if check.stub == stub and self.has(check.gradient)]
            if not any(self.moves(name) for name in names):
                raise ExerciseError(
                    f"{exercise.name}: the solution of {stub} changes nothing that its checks ask for, so an empty "
                    "cell would be right: a check is called check_ and the name of a tensor that its stub makes. "
                    "(A release has no solution: it is graded by the exercise.json beside it.)"
                )

    def has(self, name: str) -> bool:
        """Whether ``name`` is a tensor when the solution has run."""
        return name in self.after

    def moves(self, name: str) -> bool:
        """Whether the solution changes ``name`` by more than rounding, or makes it."""
        return self.change(name) > ROUNDING * float(self.after[name].abs().max())

    def change(self, name: str) -> float:
        """By how much the solution changes ``name``; where it makes it, its largest absolute value."""
        value, start = self.after[name], self.before.get(name)
        if start is not None and start.shape == value.shape:
            value = value - start
        return float(value.abs().max()) if value.numel() else 0.0

    def scale(self, name: str) -> float:
        """The yardstick of comparisons with ``name``: its change, where that is more than rounding."""
        return max(self.change(name), ROUNDING / TOLERANCE * float(self.after[name].abs().max()))


TOLERANCE = 2e-4
"""Largest difference allowed, as a share of the change that the solution makes.

A parameter moves little in a few steps, and a mistake moves it little less: in `training` the smallest one that is not
rounding is 4e-4 of the change (a biased variance, in `b2`).
"""
ROUNDING = 1e-6
"""What is allowed at least, as a share of the largest value: right answers in float32 stay within 3e-7 for 20 steps."""


def _tensors(namespace: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    return {
        name: value.detach().clone()
        for name, value in namespace.items()
        if isinstance(value, torch.Tensor) and value.is_floating_point()
    }


def _run_solution(exercise: Exercise, namespace: dict[str, Any]) -> None:
    """Run the stubs as the instructor wrote them, as they are run in the sandbox: without autograd."""
    with chdir(exercise.directory), torch.no_grad(), torch.random.fork_rng(devices=()), execution.captured():
        # what is drawn without a generator is the same as in the sandbox
        random.seed(0)
        torch.manual_seed(0)
        for name, source in exercise.solution():
            error = execution.run_cell(execution.CompiledCell(source, f"<{name}>"), namespace)
            if error:
                raise ExerciseError(
                    f"{exercise.name}: the cell {name} raises {error.name} with its worked solution: {error.message} "
                    "Run the notebook in Jupyter and fix it."
                )


def passes_of(exercise: Exercise, seeds: Sequence[int], sizes: Sequence[Mapping[str, Any]] = ()) -> tuple[Pass, ...]:
    """The hidden passes in which values are asked for: those that were recorded, where this is a release."""
    if not exercise.values:
        return ()
    if exercise.recorded:
        recorded = [one.parameters for one in exercise.recorded]
        return tuple(Pass("values", number, parameters) for number, parameters in enumerate(recorded, start=1))
    return plan_values(seeds, sizes, exercise.training.hidden)


def record(exercise: Exercise) -> list[dict[str, Any]]:
    """What the solution gives, as plain data for a release; the seed follows from the exercise and from nothing else.

    Raises
    ------
    ExerciseError
        The solution cannot be run.
    """
    passes = passes_of(exercise, [int(exercise.digest[:12], 16)])
    return [
        {"parameters": dict(pass_.parameters), "values": _packed(exercise, SolutionValues.of(exercise, pass_))}
        for pass_ in passes
    ]


def _packed(exercise: Exercise, worked: SolutionValues) -> dict[str, Any]:
    packed = {}
    for check in exercise.values:
        if worked.has(check.gradient):
            description, data = pack_tensor(worked.after[check.gradient])
            packed[check.gradient] = {**description, "data": base64.b64encode(data).decode()}
    return packed
