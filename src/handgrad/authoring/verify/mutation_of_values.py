"""Mutants of a solution whose answers are no gradients: they live where a short training passes every check.

The visible pass is as long as the longest hidden one, and a check that the worked solution does not pass then, such as
one of the loss after the full training, is not asked.
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
from handgrad.authoring.verify.mutation_testing import graded, solutions_in, sorted_out
from handgrad.authoring.verify.results import Mutation
from handgrad.exercise.exercise import Exercise
from handgrad.exercise.reference import run_locked
from handgrad.grading.grader import Grader
from handgrad.grading.solution_values import ROUNDING, TOLERANCE
from handgrad.notebook import execution

__all__ = ["mutation_of_values", "shortened"]


def shortened(exercise: Exercise) -> Exercise:
    """The exercise with a visible pass that is as long as its longest hidden one."""
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
    wanted = _passed(grader, solved, {})
    passed = [mutant for mutant in made if wanted <= _passed(grader, solved, {mutant.gradient: mutant.source})]
    if not passed:
        return Mutation(len(made))
    worlds = [_World.of(grader.exercise, {**grader.passes[-1].parameters, "seed": seed}, solutions) for seed in SEEDS]
    return sorted_out(
        len(made), passed, lambda mutant, allowance: all(world.agrees(mutant, allowance) for world in worlds)
    )


def _passed(grader: Grader, solved: NotebookNode, sources: Mapping[str, str]) -> set[str]:
    """The answers that pass where the stubs hold ``sources``."""
    report = graded(grader, solved, sources)
    return {check.gradient for check in report.checks if check.outcome == "passed"}


@dataclass(frozen=True)
class _World:
    """What the worked solution changes in double precision, for one set of parameters: each change and its scale."""

    exercise: Exercise
    parameters: Mapping[str, Any]
    solutions: Mapping[str, str]
    changes: Mapping[str, tuple[torch.Tensor, float]]

    @classmethod
    def of(cls, exercise: Exercise, parameters: Mapping[str, Any], solutions: Mapping[str, str]) -> "_World":
        """Run the worked solution."""
        return cls(exercise, parameters, solutions, dict(_changes(exercise, parameters, solutions)))

    def agrees(self, mutant: Mutant, allowance: float) -> bool:
        """Whether a mutant changes everything as the worked solution does, up to a share of the scale."""
        sources = {**self.solutions, mutant.gradient: mutant.source}
        found = dict(_changes(self.exercise, self.parameters, sources))
        return all(
            name in found
            and found[name][0].shape == change.shape
            and bool(((found[name][0] - change).abs() <= allowance * scale).all())
            for name, (change, scale) in self.changes.items()
        )


def _changes(
    exercise: Exercise, parameters: Mapping[str, Any], sources: Mapping[str, str]
) -> Iterator[tuple[str, tuple[torch.Tensor, float]]]:
    """By how much each value that is asked for is moved by stubs with these sources; nothing where one raises."""
    with double_precision(), chdir(exercise.directory), torch.no_grad(), execution.captured():
        namespace = run_locked(exercise, parameters)
        start = {name: one.clone() for name, one in namespace.items() if isinstance(one, torch.Tensor)}
        random.seed(0)
        torch.manual_seed(0)
        for name, locked in exercise.solution():
            if execution.run_cell(execution.CompiledCell(sources.get(name, locked), f"<{name}>"), namespace):
                return
        for check in exercise.values:
            value = namespace.get(check.gradient)
            if isinstance(value, torch.Tensor):
                change = value - start[check.gradient] if check.gradient in start else value
                # of what moves by nothing but rounding, the rounding says nothing
                least = ROUNDING / TOLERANCE * float(value.abs().max())
                yield check.gradient, (change, max(float(change.abs().max()), least))
