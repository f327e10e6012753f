"""Values computed by the instructor's solution for one parameter set: the reference for what is not a gradient.

Runs the instructor's cells in this process: never pass it a student's. A release has no solution; it contains the
solution's values for some parameter sets, as arrays.
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
from handgrad.gradients.comparison import scale_of
from handgrad.gradients.tensor_bytes import pack_tensor
from handgrad.grading.passes import Pass, plan_values
from handgrad.notebook import execution

__all__ = ["ROUNDING", "TOLERANCE", "SolutionValues", "passes_of", "record", "run_solution"]


@dataclass(frozen=True)
class SolutionValues:
    """The values of an exercise for one parameter set, before and after the worked solution."""

    before: Mapping[str, torch.Tensor]
    """The floating-point tensors that the locked cells before the first stub leave."""
    after: Mapping[str, torch.Tensor]
    """The same after the solution has run, and those that it makes."""

    @classmethod
    def of(cls, exercise: Exercise, parameters: Mapping[str, Any]) -> Self:
        """The values of ``exercise``: the solution is run, or, for a release, the recorded values are used.

        Raises
        ------
        ExerciseError
            A cell raises, or the solution changes no value of a stub.
        """
        namespace = run_locked(exercise, parameters)
        before = _tensors(namespace)
        known = [recorded.values for recorded in exercise.recorded if recorded.parameters == parameters]
        if not known:
            run_solution(exercise, namespace)
        values = cls(before, known[0] if known else _tensors(namespace))
        values._validate(exercise)
        return values

    def _validate(self, exercise: Exercise) -> None:
        """The solution must change a value of every stub."""
        for stub in dict.fromkeys(check.stub for check in exercise.values):
            names = [check.gradient for check in exercise.values if check.stub == stub and check.gradient in self.after]
            if not any(self.moves(name) for name in names):
                raise ExerciseError(
                    f"{exercise.name}: the solution of {stub} changes nothing that its checks compare, so an empty "
                    "cell would be right: name a check check_ and the name of a tensor that its stub makes. "
                    "(A release has no solution: it is graded with the exercise.json next to it.)"
                )

    def moves(self, name: str) -> bool:
        """Whether the solution changes ``name`` by more than rounding, or makes it."""
        return scale_of(self.change(name)) > ROUNDING * scale_of(self.after[name])

    def change(self, name: str) -> torch.Tensor:
        """What the solution adds to ``name``; a new tensor, or one of another shape, as a whole."""
        value, start = self.after[name], self.before.get(name)
        return value - start if start is not None and start.shape == value.shape else value

    def scale(self, name: str) -> float:
        """The scale of comparisons with ``name``: its largest change, if that is more than rounding."""
        return max(scale_of(self.change(name)), ROUNDING / TOLERANCE * scale_of(self.after[name]))


TOLERANCE = 2e-4
"""Largest difference allowed, as a share of the change that the solution makes.

A parameter changes little in a few steps, and a mistake changes that little: in `training` the smallest one above
rounding is 4e-4 of the change (a biased variance, in `b2`).
"""
ROUNDING = 1e-6
"""Smallest allowance, as a share of the largest value: right answers in float32 stay within 3e-7 for 20 steps."""


def _tensors(namespace: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    return {
        name: value.detach().clone()
        for name, value in namespace.items()
        if isinstance(value, torch.Tensor) and value.is_floating_point()
    }


def run_solution(exercise: Exercise, namespace: dict[str, Any]) -> None:
    """Run the instructor's stubs as the sandbox runs a student's: without autograd."""
    with chdir(exercise.directory), torch.no_grad(), torch.random.fork_rng(devices=()), execution.captured():
        # random numbers drawn without a generator are those of the sandbox
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
    """The hidden passes over values; for a release, those that were recorded."""
    if not exercise.values:
        return ()
    if exercise.recorded:
        return tuple(Pass("values", number, run.parameters) for number, run in enumerate(exercise.recorded, start=1))
    return plan_values(seeds, sizes, exercise.training.hidden)


def record(exercise: Exercise) -> list[dict[str, Any]]:
    """The solution's values as plain data for a release; an ExerciseError if it cannot be run.

    The seed depends on the exercise only.
    """
    passes = passes_of(exercise, [int(exercise.digest[:12], 16)], exercise.training.sizes)
    runs = [dict(pass_.parameters) for pass_ in passes]
    return [{"parameters": run, "values": _packed(exercise, SolutionValues.of(exercise, run))} for run in runs]


def _packed(exercise: Exercise, values: SolutionValues) -> dict[str, Any]:
    packed = {}
    for check in exercise.values:
        if check.gradient in values.after:
            description, data = pack_tensor(values.after[check.gradient])
            packed[check.gradient] = {**description, "data": base64.b64encode(data).decode()}
    return packed
