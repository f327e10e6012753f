"""Settings in which a mutant is compared with the worked solution: double precision, other numbers, other sizes.

No check runs: a mutant is equivalent if it gives the same values as the worked solution in every setting.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

import torch

from handgrad.errors import ExerciseError
from handgrad.exercise.exercise import Exercise
from handgrad.exercise.new_weights import with_new_weights
from handgrad.exercise.reference import ForwardFacts, Reference
from handgrad.gradients.comparison import number_as_tensor
from handgrad.grading.mutants import Mutant
from handgrad.grading.worked_solution import default_dtype, namespaces_before, run_answer
from handgrad.submission.alignment import StudentCell
from handgrad.submission.gradients_read import gradients_read

__all__ = ["ALMOST", "NEGLIGIBLE", "SEEDS", "Settings"]

SEEDS = (7, 8, 9)
"""Seeds of the settings."""
ALMOST = 1e-9
"""In double precision, two right formulas differ by less than this share of the largest value."""
SINGLE = 1e-5
"""The same in single precision, for a forward pass that does not run in double."""
NEGLIGIBLE = 1e-4
"""A comparison accepts any smaller relative difference, such as a forgotten 1e-5 added to a variance."""
SMALL = 1e-3
"""Largest parameter that counts as a small constant, such as an eps."""
Namespaces = Mapping[str, Mapping[str, Any]]
"""For each answer the namespace in which its cell runs."""


class Settings:
    """The settings of one exercise: runs of its locked cells in double precision.

    They have the ``parameters`` of a hidden pass, each with its own seed. There is a worked solution of each stub, in
    order.
    """

    def __init__(self, exercise: Exercise, solutions: Mapping[str, str], parameters: Mapping[str, Any]) -> None:
        self.exercise, self.solutions, self.parameters = exercise, exercise.answer_cells(solutions), parameters
        self._stubs = solutions
        self.dtype, self.rounding = torch.float64, 0.0
        try:
            with default_dtype(self.dtype):
                references = list(self._references())
        except ExerciseError:
            # a cast to float32, or a file of such numbers, does not mix with double precision
            self.dtype, self.rounding = torch.float32, SINGLE
            references = list(self._references())
        self.facts = ForwardFacts.of(references)
        self.references = references
        self.random = [self._before(reference, reference.step.upstream) for reference in references]
        """Of each setting, with random upstream gradients."""
        self.true = [self._before(reference, reference.gradients) for reference in references]
        """The same with the true ones."""

    def _references(self) -> Iterator[Reference]:
        """Three seeds, other sizes, and new weights, as far as the exercise accepts them."""
        for seed in SEEDS:
            yield Reference.of(self.exercise, {**self.parameters, "seed": seed})
        others = [(self.exercise, size) for size in _sizes(self.exercise)]
        if changed := with_new_weights(self.exercise):
            others.append((changed, {}))
        for exercise, size in others:
            with suppress(ExerciseError, RuntimeError):
                reference = Reference.of(exercise, {**self.parameters, "seed": SEEDS[0], **size})
                if not exercise.tensors or reference.is_finite:
                    yield reference

    def agrees(self, mutant: Mutant, allowance: float) -> bool:
        """Whether a mutant is right up to ``allowance``; where small differences are accepted, small constants are."""
        if self.equivalent(mutant, allowance):
            return True
        without = self._without_constants if allowance >= NEGLIGIBLE else None
        return without is not None and without.equivalent(mutant)

    @cached_property
    def _without_constants(self) -> "Settings | None":
        """The same settings with every small constant among the parameters at zero; None if there is none."""
        found = self.exercise.literals
        zeros = {name: 0.0 for name, value in found.items() if isinstance(value, float) and 0 < abs(value) <= SMALL}
        if not zeros or zeros.keys() <= self.parameters.keys():
            return None
        try:
            return Settings(self.exercise, self._stubs, {**self.parameters, **zeros})
        except ExerciseError:
            return None

    def equivalent(self, mutant: Mutant, allowance: float = ALMOST) -> bool:
        """Whether a mutant is right by the marking rule, with ``allowance`` times the largest value as the difference.

        It equals the solution for random upstream gradients, or what the chain rule gives from those that it reads, or,
        if the loss shows every mistake, the solution for the true ones.
        """
        tensor, allowance = mutant.gradient.removeprefix("d"), max(allowance, self.rounding)
        if all(self._agree(mutant, setting, allowance) for setting in self.random):
            return True
        if not all(self._agree(mutant, setting, allowance) for setting in self.true):
            return False
        read = self._read(mutant)
        return tensor not in self.facts.blind or all(
            self._agree(mutant, setting, allowance) or self._agrees_from(mutant, reference, setting, read, allowance)
            for reference, setting in zip(self.references, self.random, strict=True)
        )

    def _read(self, mutant: Mutant) -> frozenset[str]:
        """The tensors whose gradients a mutant reads, also through helpers in other cells."""
        sources = {**self.solutions, mutant.gradient: mutant.source}
        cells = [StudentCell(source, (name,), None) for name, source in sources.items()]
        return gradients_read(cells, self.exercise.tensor_of)[mutant.gradient]

    def _before(self, reference: Reference, gradients: Mapping[str, torch.Tensor]) -> Namespaces:
        return namespaces_before(self.solutions, reference.namespace, gradients, self.dtype)

    def _agrees_from(
        self,
        mutant: Mutant,
        reference: Reference,
        setting: Namespaces,
        read: frozenset[str],
        allowance: float,
    ) -> bool:
        """Whether a mutant gives what the chain rule gives from the upstream gradients of ``read``, or from none."""
        tensor = mutant.gradient.removeprefix("d")
        given = {sources: reference.gradients_from(sources) for sources in (read, frozenset[str]())}
        return any(
            reference.proves(tensor, sources, gradients, self.facts)
            and self._agree(mutant, setting, allowance, gradients[tensor])
            for sources, gradients in given.items()
        )

    def _agree(self, mutant: Mutant, setting: Namespaces, allowance: float, expected: Any = None) -> bool:
        """Whether a mutant gives what is ``expected`` in this setting (default: what the worked solution gives)."""
        namespace = setting[mutant.gradient]
        if expected is None:
            expected = run_answer(self.solutions[mutant.gradient], namespace, self.dtype)[mutant.gradient]
        try:
            answer = run_answer(mutant.source, namespace, self.dtype)[mutant.gradient]
        except Exception:
            return False
        return _same(answer, expected, allowance)


def _same(answer: Any, expected: Any, allowance: float) -> bool:
    """Whether two answers are the same up to an allowance; lists are compared part by part."""
    if isinstance(expected, torch.Tensor):
        answer = number_as_tensor(answer, expected)
        if not isinstance(answer, torch.Tensor) or answer.shape != expected.shape:
            return False
        difference = (answer.double() - expected.double()).abs()
        scale = expected.double().abs().max() if expected.numel() else 0.0
        return bool((difference <= allowance * scale).all())
    if isinstance(expected, (list, tuple)) and isinstance(answer, (list, tuple)):
        return len(answer) == len(expected) and all(
            _same(part, other, allowance) for part, other in zip(answer, expected, strict=True)
        )
    return bool(answer == expected)


def _sizes(exercise: Exercise) -> Iterator[dict[str, int]]:
    """Other integers for the parameters: all of them a little larger, then one at a time."""
    numbers = exercise.sizes
    yield {name: number + 1 + index for index, (name, number) in enumerate(numbers.items())}
    yield from ({name: number + 3} for name, number in numbers.items())
