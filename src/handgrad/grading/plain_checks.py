"""Whether a right answer is plain arithmetic: what its plain statements alone give, in double precision.

A formula has an error of rounding there, at most 2.5e-15 of the largest entry in a study of 5,900 answers. Numerical
differentiation with small steps has 5e-13 or more, and whatever needs more than plain statements has no value at all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch

from handgrad.exercise.exercise import Exercise
from handgrad.exercise.reference import ForwardFacts
from handgrad.gradients.comparison import scale_of
from handgrad.grading.hidden_states import PlainState
from handgrad.grading.passes import secret_seed
from handgrad.grading.run_passes import PassResults
from handgrad.submission.plain_code import PlainCell, in_double, plain_cells
from handgrad.submission.submission import Submission

__all__ = ["EXACT", "NOT_PLAIN", "WRONG_ELSEWHERE", "PlainChecks", "quoted"]

EXACT = 1e-13
"""Largest error of a formula in double precision, as a share of the reference's largest entry."""
NUMERICAL = 1e-4
"""Largest error of numerical differentiation that is right within the tolerance."""
MOST_QUOTED = 80
NOT_PLAIN = "not by plain arithmetic alone"
WRONG_ELSEWHERE = "wrong with other numbers"
"""Why a gradient is held that has a value of plain statements, but a wrong one."""
PROBING = "its cell tries several values near one of the forward pass, as numerical differentiation does"
"""Why a gradient is held whose value does not show it, as the end of a sentence."""


@dataclass(frozen=True)
class PlainChecks:
    """Compares the answers of plain statements with the references of an exercise."""

    exercise: Exercise
    state: PlainState
    facts: ForwardFacts
    modules: tuple[str, ...] = ()

    def for_submission(self, submission: Submission, cells: Sequence[PlainCell], seeds: Sequence[int]) -> Self:
        """The same checks; if a cell is more than plain, with upstream gradients for the submission alone.

        They are drawn from its cells, with the course's ``seeds`` as the key, so that what another submission passes on
        is wrong here. Plain cells cannot get at it.
        """
        if _are_whole(submission, cells):
            return self
        seed = secret_seed(seeds[0], "plain", *(cell.source for cell in submission.cells))
        return replace(self, state=replace(self.state, reference=self.state.reference.redrawn(seed)))

    def cells(self, submission: Submission) -> list[PlainCell]:
        """The plain statements of a submission's cells; its locked ones, which are the exercise's, are whole."""
        sources = ["" if cell.locked else cell.source for cell in submission.cells]
        # an answer is replaced by its reference, so it is there even if its own statement is left out
        plain = plain_cells(sources, {*self.state.reference.namespace, *self.exercise.tensors}, self.modules)
        return [
            # what calls a student's function may try values in it
            PlainCell(in_double(cell.source), may_probe=bool(cell.gradients)) if cell.locked else own
            for cell, own in zip(submission.cells, plain, strict=True)
        ]

    def why_held(self, gradient: str, results: PassResults, read: frozenset[str], allowed: float = EXACT) -> str:
        """Why a right answer is not confirmed, as the end of a sentence; empty if it is.

        It is confirmed if its plain statements give the gradient of a step, or what follows from the upstream gradients
        ``read`` or some of them, if that proves something; the error may be ``allowed``.
        """
        if gradient in results.probing:
            return PROBING
        tensor, reference = self.exercise.tensors[gradient], self.state.reference
        expected = reference.step.gradients[tensor]
        value = self._value(gradient, results)
        error = _error(value, expected) if value is not None else math.inf
        if value is not None and error > EXACT:
            sources = dict.fromkeys((read, frozenset[str](), *map(frozenset[str], zip(sorted(read), strict=True))))
            for each in sources:
                found = reference.gradients_from(each)
                if reference.proves(tensor, each, found, self.facts):
                    error = min(error, _error(value, found[tensor]))
        return _said(error) if error > allowed else ""

    def why_held_as_written(self, gradient: str, results: PassResults) -> str:
        """The same for an answer that is right on the true gradients only, from a run without help."""
        if gradient in results.probing:
            return PROBING
        expected = self.state.reference.gradients[self.exercise.tensors[gradient]]
        values = results.tensors(self.state.as_written, gradient)
        why = _said(min((_error(value, expected) for value in values if value is not None), default=math.inf))
        # without help a value may be wrong because of another gradient
        return NOT_PLAIN if why == WRONG_ELSEWHERE else why

    def proves(self, cells: Sequence[PlainCell], results: PassResults) -> bool:
        """Whether all statements are plain, in any precision, and give every gradient of a step."""
        gradients = self.state.reference.step.gradients
        return (
            not results.probing
            and _are_whole(results.submission, cells)
            and all(
                (value := self._value(gradient, results)) is not None and _error(value, gradients[tensor]) <= EXACT
                for gradient, tensor in self.exercise.tensors.items()
            )
        )

    def _value(self, gradient: str, results: PassResults) -> torch.Tensor | None:
        return results.tensors(self.state.pass_, gradient)[0]


def _are_whole(submission: Submission, cells: Sequence[PlainCell]) -> bool:
    """Whether every statement of a submission's own is plain."""
    return all(plain.is_whole or cell.locked for cell, plain in zip(submission.cells, cells, strict=True))


def quoted(cells: Sequence[PlainCell], index: int) -> str:
    """The statement of a cell, or of an earlier one, that was left out, in words; empty if there is none."""
    for cell in (cells[index], *reversed(cells[:index])):
        if cell.left_out:
            first = cell.left_out[0]
            where = f"line {first.line}" + ("" if cell is cells[index] else " of an earlier cell")
            return f": `{first.text[:MOST_QUOTED]}` in {where} uses {first.why}"
    return ""


def _said(error: float) -> str:
    """What an error of that size says, as the end of a sentence; nothing of a formula's."""
    if error <= EXACT:
        return ""
    if error < NUMERICAL:
        return f"in double precision it is off by {error:.0e}, as numerical differentiation is"
    return WRONG_ELSEWHERE if math.isfinite(error) else NOT_PLAIN


def _error(value: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference, as a share of the largest entry of ``expected``; infinite if it is not comparable."""
    if value.shape != expected.shape or value.is_complex():
        return math.inf
    error = float((value.detach().double() - expected).abs().max()) / (scale_of(expected) or 1.0)
    return error if math.isfinite(error) else math.inf
