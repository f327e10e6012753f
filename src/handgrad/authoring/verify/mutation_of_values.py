"""Mutation testing of answers that are not gradients: a mutant survives if a short training passes every check.

The visible pass is as long as the longest hidden one. A check that the worked solution does not pass then, such as one
of the loss after the full training, is ignored.
"""

import random
from collections.abc import Iterator, Mapping
from contextlib import chdir
from dataclasses import dataclass, replace
from typing import Any

import torch
from nbformat import NotebookNode

from handgrad.authoring.mutants import Mutant, mutants
from handgrad.authoring.verify.equivalence import SEEDS, double_precision
from handgrad.authoring.verify.mutation_testing import classify, graded, solutions_in
from handgrad.authoring.verify.results import Mutation
from handgrad.exercise.exercise import Exercise
from handgrad.exercise.reference import run_locked
from handgrad.grading.grader import Grader
from handgrad.grading.solution_values import ROUNDING, TOLERANCE
from handgrad.notebook import execution

__all__ = ["mutation_of_values", "shortened"]


def shortened(exercise: Exercise) -> Exercise:
    """The exercise with a visible pass as short as its longest hidden one."""
    index, hidden = exercise.parameters_cell, exercise.training.hidden[-1]
    lines = [exercise.cells[index].source, *(f"{name} = {value!r}" for name, value in hidden.items())]
    cell = replace(exercise.cells[index], source="\n".join(lines))
    return replace(exercise, cells=(*exercise.cells[:index], cell, *exercise.cells[index + 1 :]))


def mutation_of_values(grader: Grader, solved: NotebookNode) -> Mutation:
    """Grade every mutant of the worked solution in the notebook ``solved``, each alone.

    Parameters
    ----------
    grader
        Of a :func:`shortened` exercise.
    """
    solutions = solutions_in(solved)
    made = [mutant for name, source in solutions.items() for mutant in mutants(name, source, [], {})]
    expected = _passed(grader, solved, {})
    passed = [mutant for mutant in made if expected <= _passed(grader, solved, {mutant.gradient: mutant.source})]
    if not passed:
        return Mutation(len(made))
    settings = [
        _Setting.of(grader.exercise, {**grader.passes[-1].parameters, "seed": seed}, solutions) for seed in SEEDS
    ]
    return classify(
        len(made), passed, lambda mutant, allowance: all(setting.agrees(mutant, allowance) for setting in settings)
    )


def _passed(grader: Grader, solved: NotebookNode, sources: Mapping[str, str]) -> set[str]:
    """The answers that pass with the ``sources`` in their stubs."""
    report = graded(grader, solved, sources)
    return {check.gradient for check in report.checks if check.outcome == "passed"}


@dataclass(frozen=True)
class _Setting:
    """One set of parameters; the changes that the solution makes with it in double precision, and their scales."""

    exercise: Exercise
    parameters: Mapping[str, Any]
    solutions: Mapping[str, str]
    changes: Mapping[str, tuple[torch.Tensor, float]]

    @classmethod
    def of(cls, exercise: Exercise, parameters: Mapping[str, Any], solutions: Mapping[str, str]) -> "_Setting":
        """Run the worked solution."""
        return cls(exercise, parameters, solutions, dict(_changes(exercise, parameters, solutions)))

    def agrees(self, mutant: Mutant, allowance: float) -> bool:
        """Whether a mutant makes the same changes as the worked solution, up to ``allowance`` times their scales."""
        sources = {**self.solutions, mutant.gradient: mutant.source}
        changes = dict(_changes(self.exercise, self.parameters, sources))
        return all(
            name in changes
            and changes[name][0].shape == change.shape
            and bool(((changes[name][0] - change).abs() <= allowance * scale).all())
            for name, (change, scale) in self.changes.items()
        )


def _changes(
    exercise: Exercise, parameters: Mapping[str, Any], sources: Mapping[str, str]
) -> Iterator[tuple[str, tuple[torch.Tensor, float]]]:
    """The change of each checked value and its scale, by stubs with these sources; incomplete if one of them raises."""
    with double_precision(), chdir(exercise.directory), torch.no_grad(), execution.captured():
        namespace = run_locked(exercise, parameters)
        start = {name: value.clone() for name, value in namespace.items() if isinstance(value, torch.Tensor)}
        random.seed(0)
        torch.manual_seed(0)
        for name, locked in exercise.solution():
            if execution.run_cell(execution.CompiledCell(sources.get(name, locked), f"<{name}>"), namespace):
                return
        for check in exercise.values:
            value = namespace.get(check.gradient)
            if isinstance(value, torch.Tensor):
                change = value - start[check.gradient] if check.gradient in start else value
                # a change that is rounding only carries no information
                least = ROUNDING / TOLERANCE * float(value.abs().max())
                yield check.gradient, (change, max(float(change.abs().max()), least))
